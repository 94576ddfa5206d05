// Puts the page together: data, colours, charts and the list of trades.
"use strict";

(() => {
  const data = JSON.parse(byId("data").textContent);
  const trades = readTrades(data);
  const charted = typeof LightweightCharts !== "undefined";
  const painted = [];

  let candles = null;
  let list = null;
  const pick = (trade) => {
    if (list) list.choose(trade);
    if (candles) candles.show(trade);
  };

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  const isDark = () => (document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const repaint = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
    painted.forEach((each) => each.paint());
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  prefersDark.addEventListener("change", repaint);

  if (charted && byId("equity-chart") && data.curve.t.length > 1) painted.push(equityChart(data.curve));
  if (byId("trade-list")) list = new TradeList(data, trades, pick);
  if (charted && byId("candles")) {
    candles = new CandleChart(data, trades, pick);
    painted.push(candles);
    const key = "▲ long entry · ▼ short entry · ● exit with its profit · ■ partial exit; a click on a mark chooses its trade; keys: ← → + −";
    byId("chart-key").textContent = key;
  }
  repaint();
})();
