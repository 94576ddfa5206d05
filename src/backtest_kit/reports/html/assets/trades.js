// The list of closed trades: sorted, filtered, 250 at a time; and the one that was chosen, in words.
"use strict";

const PAGE_ROWS = 250;
const FIELDS = ["symbol", "strategy", "side", "opened", "closed", "entry", "exit", "cost", "percent", "profit", "best", "worst",
  "reason", "leverage", "take", "stop", "ambiguous", "other", "note", "legs"];

function readTrades(data) {
  return data.trades.map((row, i) => {
    const trade = { number: i + 1 };
    FIELDS.forEach((name, place) => { trade[name] = row[place]; });
    trade.side = trade.side ? "short" : "long";
    trade.legs = readLegs(data, trade);
    trade.symbolName = data.symbols[trade.symbol];
    trade.strategyName = data.strategies[trade.strategy];
    trade.note = data.notes[trade.note];
    trade.closedBy = words(data.reasons[trade.reason]);
    return trade;
  });
}

function readLegs(data, trade) {
  const made = [];
  for (let i = 0; i < trade.legs.length; i += 4) {
    const [after, kind, value, cost] = trade.legs.slice(i, i + 4);
    made.push({ time: trade.opened + after, kind: data.kinds[kind], price: value, cost });
  }
  const left = made.reduce((sum, leg) => sum + (leg.kind === "entry" || leg.kind === "average" ? leg.cost : -leg.cost), 0);
  if (left > 0.005) made.push({ time: trade.closed, kind: "exit", price: trade.exit, cost: left });
  return made;
}

function tradeColumns(data, trades) {
  const some = (test) => trades.some(test);
  return [
    { title: "#", key: "number", text: (trade) => String(trade.number) },
    { title: "Closed", key: "closed", text: (trade) => minute(trade.closed) },
    data.symbols.length > 1 && { title: "Symbol", key: "symbolName", text: (trade) => trade.symbolName },
    data.strategies.length > 1 && { title: "Strategy", key: "strategyName", text: (trade) => trade.strategyName },
    { title: "Side", key: "side", text: (trade) => trade.side },
    { title: "Held", key: "held", value: (trade) => trade.closed - trade.opened, text: (trade) => held(trade.closed - trade.opened), look: () => "n" },
    { title: "Entry", key: "entry", text: (trade) => price(trade.entry), look: () => "n" },
    { title: "Exit", key: "exit", text: (trade) => price(trade.exit), look: () => "n" },
    { title: "Profit %", key: "percent", text: (trade) => signed(trade.percent), look: (trade) => look(trade.percent) },
    { title: "Profit", key: "profit", text: (trade) => signed(trade.profit), look: (trade) => look(trade.profit) },
    some((trade) => trade.best !== null) && { title: "Best %", key: "best", text: (trade) => signed(trade.best), look: () => "n" },
    some((trade) => trade.worst !== null) && { title: "Worst %", key: "worst", text: (trade) => signed(trade.worst), look: () => "n" },
    { title: "Closed by", key: "closedBy", text: (trade) => trade.closedBy + (trade.ambiguous ? " (ambiguous)" : "") },
    some((trade) => trade.note) && { title: "Note", key: "note", text: (trade) => trade.note, look: () => "note" },
  ].filter(Boolean);
}

class TradeList {
  constructor(data, trades, onPick) {
    [this.trades, this.onPick] = [trades, onPick];
    this.columns = tradeColumns(data, trades);
    [this.sort, this.down, this.page, this.chosen] = [this.columns[0], true, 0, null];
    byId("trade-list").hidden = false;
    data.symbols.forEach((name, place) => {
      const option = element("option", name);
      option.value = String(place);
      byId("list-symbol").append(option);
    });
    for (const id of ["list-symbol", "list-outcome"]) byId(id).addEventListener("change", () => this.arrange());
    byId("previous-page").addEventListener("click", () => this.turn(-1));
    byId("next-page").addEventListener("click", () => this.turn(1));
    byId("trade-rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.onPick(this.trades[Number(row.dataset.number) - 1]);
    });
    this.headings();
    this.arrange();
  }

  headings() {
    byId("trade-heads").replaceChildren(...this.columns.map((column) => {
      const head = element("th", "", column.look && column.key !== "note" ? "n" : "");
      head.scope = "col";
      const button = element("button", column.title);
      button.type = "button";
      button.addEventListener("click", () => {
        [this.sort, this.down] = [column, this.sort === column ? !this.down : true];
        this.arrange();
      });
      head.append(button);
      return head;
    }));
  }

  fits(trade) {
    const [symbol, outcome] = [byId("list-symbol").value, byId("list-outcome").value];
    if (symbol !== "" && trade.symbol !== Number(symbol)) return false;
    return { "": true, won: trade.percent > 0, lost: trade.percent < 0, ambiguous: Boolean(trade.ambiguous) }[outcome];
  }

  arrange() {
    const read = this.sort.value || ((trade) => trade[this.sort.key]);
    const sign = this.down ? -1 : 1;
    const order = (a, b) => {
      const [x, y] = [read(a), read(b)];
      if (x === y || x === null || y === null) return x === y ? b.number - a.number : x === null ? 1 : -1;
      return (x < y ? -1 : 1) * sign;
    };
    this.shown = this.trades.filter((trade) => this.fits(trade)).sort(order);
    this.page = 0;
    [...byId("trade-heads").children].forEach((head, i) => {
      if (this.columns[i] === this.sort) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.firstChild.textContent = this.columns[i].title + (this.columns[i] === this.sort ? (this.down ? " ↓" : " ↑") : "");
    });
    this.fill();
  }

  turn(by) {
    this.page += by;
    this.fill();
    byId("trade-rows").closest(".scroll").scrollTop = 0;
  }

  fill() {
    const first = this.page * PAGE_ROWS;
    const rows = this.shown.slice(first, first + PAGE_ROWS);
    byId("trade-rows").replaceChildren(...rows.map((trade) => this.row(trade)));
    const some = rows.length ? `${first + 1} to ${first + rows.length} of ${this.shown.length}` : "none";
    byId("list-count").textContent = this.shown.length === this.trades.length ? some : `${some} (${this.trades.length} in all)`;
    byId("previous-page").disabled = this.page === 0;
    byId("next-page").disabled = first + PAGE_ROWS >= this.shown.length;
  }

  row(trade) {
    const row = element("tr");
    row.dataset.number = trade.number;
    if (trade === this.chosen) row.setAttribute("aria-current", "true");
    this.columns.forEach((column, i) => {
      const cell = element(i ? "td" : "th", i ? column.text(trade) : "", column.look ? column.look(trade) : "");
      if (!i) {
        cell.scope = "row";
        const button = element("button", column.text(trade));
        button.type = "button";
        button.setAttribute("aria-label", `Show trade ${trade.number}`);
        cell.append(button);
      }
      row.append(cell);
    });
    return row;
  }

  choose(trade) {
    this.chosen = trade;
    const place = this.shown.indexOf(trade);
    if (place >= 0 && Math.floor(place / PAGE_ROWS) !== this.page) {
      this.page = Math.floor(place / PAGE_ROWS);
      this.fill();
    }
    for (const row of byId("trade-rows").children) {
      if (Number(row.dataset.number) !== trade.number) row.removeAttribute("aria-current");
      else row.setAttribute("aria-current", "true");
    }
    const box = byId("trade-rows").closest(".scroll");
    const row = byId("trade-rows").querySelector("[aria-current]");
    if (row && (row.offsetTop < box.scrollTop + 60 || row.offsetTop > box.scrollTop + box.clientHeight - 40)) {
      box.scrollTop = row.offsetTop - box.clientHeight / 2;
    }
    describe(trade);
  }
}

// The chosen trade in words: what the chart shows, for those who cannot see it.
function describe(trade) {
  const box = byId("chosen");
  box.hidden = false;
  const title = `Trade ${trade.number}: ${trade.side} ${trade.symbolName}, ${signed(trade.percent)} % (${signed(trade.profit)})`;
  const pairs = [
    ["Opened", minute(trade.opened)], ["Closed", minute(trade.closed)], ["Held", held(trade.closed - trade.opened)],
    ["Closed by", trade.closedBy], ["Entry", price(trade.entry)], ["Exit", price(trade.exit)],
    ["Take profit", price(trade.take)], ["Stop loss", price(trade.stop)], ["Invested", decimal(trade.cost)],
    ["Leverage", `${trade.leverage}×`], ["Best", trade.best === null ? NOT_AVAILABLE : `${signed(trade.best)} %`],
    ["Worst", trade.worst === null ? NOT_AVAILABLE : `${signed(trade.worst)} %`], ["Strategy", trade.strategyName],
  ];
  if (trade.other !== null) pairs.push(["Had the take profit come first", `${signed(trade.other)} %`]);
  if (trade.note) pairs.push(["Note", trade.note]);
  const list = element("dl", "", "facts");
  for (const [name, text] of pairs) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", text));
    list.append(pair);
  }
  box.replaceChildren(element("h3", title), list);
  if (trade.legs.length) box.append(legTable(trade.legs));
}

function legTable(legs) {
  const made = element("table");
  made.append(element("caption", "Its orders"));
  const rows = legs.map((leg) => [minute(leg.time), words(leg.kind), price(leg.price), decimal(leg.cost)]);
  for (const [i, texts] of [["Time", "Order", "Price", "Money"], ...rows].entries()) {
    const row = made.appendChild(element("tr"));
    texts.forEach((text, place) => {
      const cell = row.appendChild(element(i ? "td" : "th", text, place > 1 ? "n" : ""));
      if (!i) cell.scope = "col";
    });
  }
  return made;
}
