// Numbers and times as the page writes them, and the making of elements. Data enters the page only as text.
"use strict";

const NOT_AVAILABLE = "N/A";

function grouped(value, digits) {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

function decimal(value, digits = 2) {
  return value === null ? NOT_AVAILABLE : grouped(value, digits);
}

function signed(value, digits = 2) {
  if (value === null) return NOT_AVAILABLE;
  const rounded = Number(value.toFixed(digits));
  return (rounded > 0 ? "+" : "") + grouped(rounded === 0 ? 0 : value, digits);
}

// Six significant digits, and at least two decimals.
function price(value) {
  if (value === null) return NOT_AVAILABLE;
  const size = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(20, Math.max(2, 5 - size)));
}

// Epoch seconds as a minute in UTC: 2024-01-31 13:05.
function minute(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
}

function held(seconds) {
  const minutes = Math.round(seconds / 60);
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${rest} min` : `${rest} min`;
}

function words(name) {
  return name.replaceAll("_", " ");
}

function look(value) {
  return value > 0 ? "n gain" : value < 0 ? "n loss" : "n";
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (className) made.className = className;
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

// A custom property of the style sheet as a colour that a canvas understands.
function colour(name, opacity = 1) {
  const probe = document.body.appendChild(element("span"));
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  const parts = found.match(/[\d.]+/g) || ["128", "128", "128"];
  return `rgba(${parts[0]}, ${parts[1]}, ${parts[2]}, ${opacity})`;
}
