// The interactive pictures: the account with its drawdown, and candles with the marks of trades.
"use strict";

const MOST_MARKED = 800; // trades in view beyond which marks would be a wall
const MOST_WORDS = 40; // trades in view beyond which marks carry no words

function chartLook() {
  const line = { color: colour("line", 0.6) };
  return {
    layout: {
      background: { type: "solid", color: colour("page") }, textColor: colour("faint"), attributionLogo: false, fontSize: 11,
      panes: { separatorColor: colour("line"), separatorHoverColor: colour("line") },
    },
    grid: { vertLines: { visible: false }, horzLines: line },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderColor: colour("line"), timeVisible: true, secondsVisible: false },
    localization: { locale: "en-GB", dateFormat: "yyyy-MM-dd" },
  };
}

function newChart(box, options) {
  return LightweightCharts.createChart(box, { autoSize: true, ...chartLook(), ...options });
}

// ---- the account ---------------------------------------------------------------------------------------------------

function points(times, values) {
  const made = [];
  let last = -Infinity;
  for (let i = 0; i < times.length; i++) {
    if (times[i] > last && values[i] !== null) made.push({ time: times[i], value: values[i] });
    last = Math.max(last, times[i]);
  }
  return made;
}

function equityChart(curve) {
  const box = byId("equity-chart");
  box.hidden = false;
  byId("equity-picture").hidden = true;
  const chart = newChart(box, { handleScroll: { mouseWheel: false, vertTouchDrag: false }, handleScale: { mouseWheel: false } });
  const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerRadius: 3 };
  const money = { type: "custom", minMove: 0.01, formatter: (value) => grouped(value, Math.abs(value) < 1000 ? 2 : 0) };
  const percent = { type: "custom", minMove: 0.01, formatter: (value) => `${grouped(value, 1)} %` };
  const held = chart.addSeries(LightweightCharts.LineSeries, { ...quiet, lineWidth: 1, lineStyle: 2, priceFormat: money });
  const equity = chart.addSeries(LightweightCharts.LineSeries, { ...quiet, lineWidth: 2, priceFormat: money, lastValueVisible: true });
  const fall = chart.addSeries(LightweightCharts.BaselineSeries, { ...quiet, lineWidth: 1, baseValue: { type: "price", price: 0 }, priceFormat: percent }, 1);
  const paint = () => {
    chart.applyOptions(chartLook());
    held.applyOptions({ color: colour("held") });
    equity.applyOptions({ color: colour("accent") });
    const below = { bottomLineColor: colour("loss"), bottomFillColor1: colour("loss", 0.05), bottomFillColor2: colour("loss", 0.25) };
    fall.applyOptions({ ...below, topLineColor: colour("loss"), topFillColor1: "transparent", topFillColor2: "transparent" });
  };
  paint();
  held.setData(points(curve.t, curve.benchmark));
  equity.setData(points(curve.t, curve.equity));
  fall.setData(points(curve.t, curve.drawdown));
  chart.timeScale().applyOptions({ minBarSpacing: 0.01 });
  chart.panes()[0].setStretchFactor(3);
  chart.panes()[1].setStretchFactor(1);
  chart.timeScale().fitContent();
  return { paint };
}

// ---- candles -------------------------------------------------------------------------------------------------------

function decoded(columns) {
  const scale = 10 ** columns.digits;
  const rows = [];
  let time = columns.start;
  let before = 0;
  for (let i = 0; i < columns.t.length; i++) {
    if (columns.t[i] > 1) rows.push({ time: time + columns.step });
    time += columns.t[i] * columns.step;
    const open = before + columns.o[i];
    const close = open + columns.c[i];
    const [high, low] = [Math.max(open, close) + columns.h[i], Math.min(open, close) - columns.l[i]];
    rows.push({ time, open: open / scale, high: high / scale, low: low / scale, close: close / scale });
    before = close;
  }
  return rows;
}

// The place of the last row that opens at or before `time`; the first row for what lies before all.
function placeOf(rows, time) {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (rows[middle].time <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

class CandleChart {
  constructor(data, trades, onPick) {
    [this.data, this.all, this.onPick] = [data, trades, onPick];
    [this.rows, this.trades, this.lines, this.chosen] = [[], [], [], null];
    byId("candles").hidden = false;
    this.box = byId("candle-chart");
    this.chart = newChart(this.box, { handleScroll: { vertTouchDrag: false } });
    this.chart.timeScale().applyOptions({ minBarSpacing: 0.05, rightOffset: 3 });
    this.series = this.chart.addSeries(LightweightCharts.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false, borderVisible: false });
    this.marks = LightweightCharts.createSeriesMarkers(this.series, []);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.markSoon());
    this.chart.subscribeClick((event) => this.clicked(event));
    this.setControls();
    this.paint();
    this.showSymbol(Number(Object.keys(data.candles)[0]));
    this.showLatest();
  }

  setControls() {
    const select = byId("chart-symbol");
    for (const place of Object.keys(this.data.candles)) {
      const option = element("option", this.data.symbols[place]);
      option.value = place;
      select.append(option);
    }
    select.addEventListener("change", () => {
      this.choose(null);
      this.showSymbol(Number(select.value));
      this.showLatest();
    });
    byId("whole").addEventListener("click", () => this.chart.timeScale().fitContent());
    byId("earlier").addEventListener("click", () => this.step(-1));
    byId("later").addEventListener("click", () => this.step(1));
    this.box.tabIndex = 0;
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  paint() {
    this.chart.applyOptions(chartLook());
    const [gain, loss] = [colour("gain"), colour("loss")];
    this.series.applyOptions({ upColor: gain, downColor: loss, wickUpColor: gain, wickDownColor: loss });
    this.mark();
    this.drawLevels();
  }

  showSymbol(place) {
    if (this.symbol === place) return;
    this.symbol = place;
    byId("chart-symbol").value = String(place);
    const columns = this.data.candles[place];
    this.rows = decoded(columns);
    this.trades = this.all.filter((trade) => trade.symbol === place).sort((a, b) => a.opened - b.opened);
    const digits = columns.digits;
    this.series.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
    this.series.setData(this.rows);
  }

  showLatest() {
    const last = this.trades.length ? placeOf(this.rows, this.trades[this.trades.length - 1].closed) + 20 : this.rows.length;
    this.view(Math.max(0, last - Math.max(60, Math.min(320, this.box.clientWidth / 4))), last);
  }

  view(from, to) {
    this.chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  show(trade) {
    if (!(trade.symbol in this.data.candles)) return this.choose(null);
    this.showSymbol(trade.symbol);
    this.choose(trade);
    const [first, last] = [placeOf(this.rows, trade.opened), placeOf(this.rows, trade.closed)];
    const around = Math.max(25, (last - first) * 0.6);
    this.view(first - around, last + around);
    this.box.scrollIntoView({ block: "nearest" });
  }

  choose(trade) {
    this.chosen = trade;
    this.drawLevels();
    this.mark();
  }

  drawLevels() {
    this.lines.forEach((line) => this.series.removePriceLine(line));
    this.lines = [];
    if (!this.chosen) return;
    const levels = [["take", this.chosen.take, "gain", 2], ["entry", this.chosen.entry, "faint", 0], ["stop", this.chosen.stop, "loss", 2]];
    for (const [title, value, name, lineStyle] of levels) {
      if (value === null) continue;
      this.lines.push(this.series.createPriceLine({ price: value, title, color: colour(name), lineStyle, lineWidth: 1 }));
    }
  }

  markSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.mark(), 60);
  }

  mark() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range || !this.rows.length) return;
    const inside = (place) => this.rows[Math.min(this.rows.length - 1, Math.max(0, Math.round(place)))].time;
    const [from, to] = [inside(range.from), inside(range.to)];
    const seen = this.trades.filter((trade) => trade.closed >= from && trade.opened <= to + this.data.candles[this.symbol].step);
    const shown = seen.length <= MOST_MARKED ? seen : [];
    const made = shown.flatMap((trade) => this.marksOf(trade, seen.length <= MOST_WORDS));
    this.marks.setMarkers(made.sort((a, b) => a.time - b.time));
    const tooMany = seen.length > MOST_MARKED ? "; closer in they are marked" : "";
    byId("chart-state").textContent = `${minute(from)} to ${minute(to)}, ${seen.length} trades${tooMany}`;
  }

  marksOf(trade, wordy) {
    const long = trade.side === "long";
    const [under, over] = long ? ["belowBar", "aboveBar"] : ["aboveBar", "belowBar"];
    const bold = trade === this.chosen;
    const put = (time, position, shape, name, text, size) => ({
      time: this.rows[placeOf(this.rows, time)].time, position, shape, color: colour(name),
      text: wordy || bold ? text : "", size: bold ? size * 1.6 : size, id: String(trade.number),
    });
    const arrow = long ? "arrowUp" : "arrowDown";
    const legs = trade.legs.filter((leg) => leg.kind !== "entry" && leg.kind !== "exit");
    return [
      put(trade.opened, under, arrow, "accent", trade.side, 1),
      ...legs.map((leg) => leg.kind === "average" ? put(leg.time, under, arrow, "held", "average", 0.7) : put(leg.time, over, "square", "held", "partial", 0.7)),
      put(trade.closed, over, "circle", trade.percent < 0 ? "loss" : "gain", `${signed(trade.percent)} %`, 0.8),
    ];
  }

  clicked(event) {
    const trade = this.all[Number(event.hoveredObjectId) - 1];
    if (event.hoveredObjectId !== undefined && trade) this.onPick(trade);
  }

  step(by) {
    if (!this.trades.length) return;
    const place = this.trades.indexOf(this.chosen);
    const next = place < 0 ? (by < 0 ? this.trades.length - 1 : 0) : place + by;
    if (this.trades[next]) this.onPick(this.trades[next]);
  }

  key(event) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const wide = range.to - range.from;
    const moves = { ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.15, -0.15], "-": [-0.2, 0.2] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    this.view(range.from + wide * move[0], range.to + wide * move[1]);
  }
}
