"use strict";
// What the page computes: the same as lib.design.decision, from the same draws.

const report = JSON.parse(document.getElementById("report").textContent);
const sizes = report.sizes.length;
const lifts = floats(report.lift_draws), costs = floats(report.machine_cost_draws);
const draws = lifts.length / sizes;

function floats(base64) {  // little-endian, [draws, sizes]
  return new Float32Array(Uint8Array.from(atob(base64), c => c.charCodeAt(0)).buffer);
}

// ---- the decision -----------------------------------------------------------

/** Revenue and cost of a draw's sizes per hour, as the ROI compares them; see roi_choice.py. */
function money(draw, setting, revenue, cost) {
  const factor = setting.price_per_hour / report.price_per_hour, start = draw * sizes;
  const total = report.roi === "total", baseCost = costs[start + report.base] * factor;
  const served = [];
  for (let size = 0; size < sizes; size++) {
    const lift = lifts[start + size], paid = costs[start + size] * factor;
    revenue[size] = total ? setting.revenue_per_hour * (1 + lift) : setting.revenue_per_hour * lift;
    cost[size] = total ? paid : paid - baseCost;
    served.push(Number.isFinite(paid));
  }
  for (let size = 0; size < sizes; size++)
    if (!served[size]) {  // it is not deployed: the base stays
      revenue[size] = revenue[report.base];
      cost[size] = cost[report.base];
    }
  return served;
}

/** Means over all draws of each size: what it earns and costs, its chances, its regret. */
function judge(setting) {
  const zeros = () => new Float64Array(sizes);
  const sum = {revenue: zeros(), cost: zeros(), value: zeros(), holds: zeros(), near: zeros(),
    best: zeros()};
  const within = report.tolerance * setting.revenue_per_hour;
  const revenue = zeros(), cost = zeros(), shortfall = zeros();
  let perfect = 0;
  for (let draw = 0; draw < draws; draw++) {
    const served = money(draw, setting, revenue, cost);
    let best = -1;
    for (let size = 0; size < sizes; size++) {
      shortfall[size] = Math.max(setting.roi_min * cost[size] - revenue[size], 0);
      if (!served[size] || shortfall[size] > 0) continue;
      sum.holds[size] += 1;
      if (best < 0 || revenue[size] > revenue[best]
          || revenue[size] === revenue[best] && cost[size] < cost[best]) best = size;
    }
    const most = revenue[best < 0 ? report.base : best];
    if (best >= 0) sum.best[best] += 1;
    perfect += most;
    for (let size = 0; size < sizes; size++) {
      const value = Math.min(revenue[size], most) - shortfall[size];
      sum.revenue[size] += revenue[size];
      sum.cost[size] += cost[size];
      sum.value[size] += value;
      if (value >= most - within) sum.near[size] += 1;
    }
  }
  for (const name in sum) sum[name].forEach((total, size) => { sum[name][size] = total / draws; });
  return {...sum, regret: sum.value.map(value => perfect / draws - value)};
}

/** The size that earns most in expectation of those that keep the bound with confidence; or -1. */
function choose(judged, confidence) {
  let chosen = -1;
  for (let size = 0; size < sizes; size++) {
    if (judged.holds[size] < confidence) continue;
    if (chosen < 0 || judged.revenue[size] > judged.revenue[chosen]
        || judged.revenue[size] === judged.revenue[chosen]
           && judged.cost[size] < judged.cost[chosen]) chosen = size;
  }
  return chosen;
}

/** What one size earns and costs beyond the base in each draw, per hour. */
function beyondBase(size, setting) {
  const factor = setting.price_per_hour / report.price_per_hour;
  const revenue = new Float64Array(draws), cost = new Float64Array(draws);
  for (let draw = 0; draw < draws; draw++) {
    const served = Number.isFinite(costs[draw * sizes + size]);
    const at = draw * sizes + (served ? size : report.base), base = draw * sizes + report.base;
    revenue[draw] = setting.revenue_per_hour * (lifts[at] - lifts[base]);
    cost[draw] = costs[at] * factor - costs[base] * factor;
  }
  return {revenue, cost};
}

/** Mean, and the interval that holds the middle of the draws (NumPy's quantiles). */
function summary(values) {
  const sorted = Float64Array.from(values).sort();
  const quantile = share => {
    const place = share * (sorted.length - 1), below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  };
  const tail = (1 - report.interval) / 2;
  return {
    mean: values.reduce((total, value) => total + value, 0) / values.length,
    low: quantile(tail),
    high: quantile(1 - tail),
  };
}

// ---- texts --------------------------------------------------------------------

const perHour = report.currency ? `${report.currency}/h` : "an hour";
const sure = `${+(100 * report.interval).toPrecision(4)} %`;

function digits(value) {  // three that count, thousands apart
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.001) return size.toPrecision(2);
  return (+size.toPrecision(3)).toLocaleString("en", {maximumFractionDigits: 6});
}

const signed = value => value === 0 ? "0" : `${value < 0 ? "−" : "+"}${digits(value)}`;
const share = value => `${value > 0.995 && value < 1 ? "> 99" : Math.round(100 * value)} %`;
const percent = value => value === 0 ? "0 %" : `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(2)} %`;
const named = size => `[${report.sizes[size].join(", ")}]`;
const aYear = value => `${signed(8760 * value)} ${report.currency} a year`.replace("  ", " ");
const range = figure => `${sure}: ${signed(figure.low)} to ${signed(figure.high)}`;
const ranged = (id, figure) => [`${sure}: `, data(`${id}-low`, figure.low, signed(figure.low)), " to ",
  data(`${id}-high`, figure.high, signed(figure.high))];

/** An element with a class, text or children; `data` keeps a number in full beside its text. */
function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const data = (id, value, text, className = "") =>
  element("data", {id, value: String(value), class: className}, text);

// ---- what is shown --------------------------------------------------------------

function show() {
  const setting = {};
  for (const slider of report.sliders) {
    const input = document.getElementById(slider.name);
    const value = slider.values[+input.value];
    const text = slider.name === "confidence" ? share(value)
      : slider.name === "roi_min" ? digits(value) : `${digits(value)} ${perHour}`;
    setting[slider.name] = value;
    document.getElementById(`${slider.name}-value`).textContent = text;
    input.setAttribute("aria-valuetext", text);
  }
  const judged = judge(setting), chosen = choose(judged, setting.confidence);
  showAnswer(judged, chosen, setting);
  showChart(judged, chosen, setting);
  showAlternatives(judged, chosen, setting);
}

function showAnswer(judged, chosen, setting) {
  const answer = document.getElementById("answer"), notes = document.getElementById("sure");
  const tiles = document.getElementById("tiles"), base = named(report.base);
  answer.replaceChildren();
  notes.replaceChildren();
  tiles.replaceChildren();
  document.body.dataset.choice = chosen < 0 ? "" : named(chosen);
  if (chosen < 0) {
    answer.append(`No size keeps a return of ${digits(setting.roi_min)} with a confidence of `
      + `${share(setting.confidence)}, not even today's ${base}.`);
    return;
  }
  const beyond = beyondBase(chosen, setting);
  const revenue = summary(beyond.revenue), cost = summary(beyond.cost);
  const net = summary(beyond.revenue.map((earned, draw) => earned - beyond.cost[draw]));
  const size = element("span", {class: "size"}, named(chosen));
  if (chosen === report.base)
    answer.append("Keep ", size, `: no other size earns more in expectation and keeps the bound `
      + `with a confidence of ${share(setting.confidence)}.`);
  else
    answer.append("Deploy ", size, ` in place of ${base}: ${signed(revenue.mean)} ${perHour} of `
      + `revenue (${range(revenue)}) for ${signed(cost.mean)} ${perHour} of cost.`);
  const near = [...judged.near.keys()].filter(size => judged.near[size] >= report.near_share);
  const tolerance = `${+(100 * report.tolerance).toPrecision(3)} % of revenue`;
  notes.append(element("p", {}, "How sure: it is the best size in ",
    data("best", judged.best[chosen], share(judged.best[chosen])), ` of the draws, and within ${tolerance} `
    + "of the best in ", data("near", judged.near[chosen], share(judged.near[chosen])), ". "
    + nearSentence(near, judged, chosen)));
  if (chosen !== report.base && revenue.low <= 0 && revenue.high >= 0)
    warn(notes, `Whether it earns more than today's size is not settled: the ${sure} interval `
      + "holds 0.");
  const larger = report.flops[chosen] / report.flops[report.base];
  if (larger > report.largest * (1 + 1e-9))
    warn(notes, `It has ${digits(larger)} times the FLOPs of today's size, the largest trained one `
      + `${digits(report.largest)} times: what it earns is extrapolated.`);
  tile(tiles, "Revenue beyond today's", data("revenue", revenue.mean, `${signed(revenue.mean)} ${perHour}`),
    ranged("revenue", revenue), `${percent(revenue.mean / setting.revenue_per_hour)} of revenue, `
    + `${aYear(revenue.mean)}`);
  const todays = costs[report.base] * setting.price_per_hour / report.price_per_hour;
  tile(tiles, "Cost beyond today's", data("cost", cost.mean, `${signed(cost.mean)} ${perHour}`),
    ranged("cost", cost), `${digits(1 + cost.mean / todays)} times today's`);
  tile(tiles, "Revenue less cost", data("net", net.mean, `${signed(net.mean)} ${perHour}`),
    ranged("net", net), aYear(net.mean));
  const bound = report.roi === "total" ? "all revenue / all cost" : "further revenue / further cost";
  tile(tiles, `${bound} ≥ ${digits(setting.roi_min)}`,
    data("holds", judged.holds[chosen], `in ${share(judged.holds[chosen])}`), "of the draws");
  tile(tiles, "Expected regret", data("regret", judged.regret[chosen], `${digits(judged.regret[chosen])} ${perHour}`),
    `${(100 * judged.regret[chosen] / setting.revenue_per_hour).toFixed(3)} % of revenue`,
    "what knowing the truth would earn more on average");
}

/** Which sizes are as good, and what the cheapest of them would save. */
function nearSentence(near, judged, chosen) {
  const often = `that near in ${share(report.near_share)} of the draws`;
  if (!near.length) return `No size is ${often}.`;
  const cheapest = near.reduce((a, b) => judged.cost[b] < judged.cost[a] ? b : a);
  const saved = judged.cost[chosen] - judged.cost[cheapest];
  const count = near.length > 1 ? `${near.length} sizes are ${often}` : `One size is ${often}`;
  if (cheapest === chosen || saved <= 0) return `${count}${near.includes(chosen) ? ", it among them" : ""}.`;
  return `${count}; the cheapest of them, ${named(cheapest)}, costs ${digits(saved)} ${perHour} less and `
    + `earns ${digits(judged.revenue[chosen] - judged.revenue[cheapest])} ${perHour} less.`;
}

function warn(notes, text) {
  notes.append(element("p", {class: "warning"}, text));
}

function tile(tiles, title, number, ...lines) {
  number.className = "big";
  tiles.append(element("div", {class: "tile"}, element("h3", {}, title), number,
    ...lines.map(line => element("small", {}, ...[line].flat()))));
}

function showAlternatives(judged, chosen, setting) {
  const order = [...judged.regret.keys()].sort((a, b) => judged.regret[a] - judged.regret[b]).slice(0, 7);
  const shown = [...new Set([chosen, ...order, report.base])].filter(size => size >= 0);
  const heads = ["size", `revenue beyond today's, ${perHour} (${sure})`, `cost beyond today's, ${perHour} (${sure})`,
    "bound holds in", "best in", `expected regret, ${perHour}`, "FLOPs / today's"];
  const rows = shown.map(size => {
    const beyond = beyondBase(size, setting);
    const [revenue, cost] = [summary(beyond.revenue), summary(beyond.cost)];
    const interval = figure => `${signed(figure.mean)} (${signed(figure.low)} to ${signed(figure.high)})`;
    const isBase = size === report.base;
    const role = isBase ? " today's" : size === chosen ? " the choice" : size === order[0] ? " least regret of these" : "";
    return element("tr", size === chosen ? {class: "chosen"} : {},
      element("th", {class: "text", scope: "row"}, named(size), element("small", {}, role)),
      element("td", {}, isBase ? "0" : interval(revenue)), element("td", {}, isBase ? "0" : interval(cost)),
      element("td", {}, share(judged.holds[size])), element("td", {}, share(judged.best[size])),
      element("td", {}, digits(judged.regret[size])),
      element("td", {}, digits(report.flops[size] / report.flops[report.base])));
  });
  document.getElementById("alternatives").replaceChildren(
    element("caption", {}, "The choice, the sizes of least expected regret whether or not they keep the bound so "
      + "surely, and today's; shares are of the draws"),
    element("thead", {}, element("tr", {}, ...heads.map((head, place) =>
      element("th", {scope: "col", class: place ? "" : "text"}, head)))),
    element("tbody", {}, ...rows));
}

// ---- the figure -------------------------------------------------------------------

function drawn(name, options, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function ticks(low, high) {
  const rough = (high - low) / 8, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(value => value >= rough);
  const made = [];
  for (let place = Math.ceil(low / step); place * step <= high; place++) made.push(place * step);
  return made;
}

function showChart(judged, chosen, setting) {
  const [width, height, left, right, top, bottom] = [880, 400, 70, 20, 16, 46];
  const baseRevenue = judged.revenue[report.base], baseCost = judged.cost[report.base];
  const x = judged.cost.map(value => value - baseCost), y = judged.revenue.map(value => value - baseRevenue);
  const interval = chosen < 0 ? {low: 0, high: 0} : summary(beyondBase(chosen, setting).revenue);
  // Sizes far dearer than what could be chosen would press all others into a corner.
  const useful = [...x.keys()].filter(size => judged.holds[size] >= 0.1 || size === chosen);
  const limits = (values, more) => {
    const low = Math.min(0, ...values, ...more), high = Math.max(0, ...values, ...more);
    const margin = 0.06 * (high - low || 1);
    return [low - margin, high + margin];
  };
  const [x0, x1] = limits(useful.map(size => x[size]), []);
  const [y0, y1] = limits(useful.map(size => y[size]), [interval.low, interval.high]);
  const across = value => left + (value - x0) / (x1 - x0) * (width - left - right);
  const up = value => height - bottom - (value - y0) / (y1 - y0) * (height - top - bottom);
  const line = (a, b, options) => drawn("line", {x1: across(a[0]), y1: up(a[1]), x2: across(b[0]),
    y2: up(b[1]), ...options});
  const text = (at, words, options) => drawn("text", {x: at[0], y: at[1], ...options}, words);
  const figure = drawn("svg", {viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Sizes by cost and revenue beyond today's"});
  for (const value of ticks(x0, x1)) figure.append(
    line([value, y0], [value, y1], {stroke: "#eee"}),
    text([across(value), height - bottom + 18], value ? signed(value) : "0", {"text-anchor": "middle"}));
  for (const value of ticks(y0, y1)) figure.append(
    line([x0, value], [x1, value], {stroke: "#eee"}),
    text([left - 8, up(value) + 4], value ? signed(value) : "0", {"text-anchor": "end"}));
  figure.append(text([(left + width - right) / 2, height - 8], `cost beyond today's, ${perHour}`, {"text-anchor": "middle"}),
    text([0, 0], `revenue beyond today's, ${perHour}`,
      {"text-anchor": "middle", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`}));
  if (report.roi === "incremental") figure.append(boundLine(setting.roi_min, [x0, x1, y0, y1], line));
  for (const size of useful) {
    if (size === chosen || size === report.base) continue;
    const sureEnough = judged.holds[size] >= setting.confidence;
    figure.append(drawn("circle", {cx: across(x[size]), cy: up(y[size]), r: 4,
      fill: sureEnough ? "#0072b2" : "#fff", stroke: sureEnough ? "#fff" : "#888"},
    drawn("title", {}, `${named(size)}: ${signed(y[size])} for ${signed(x[size])} ${perHour}; bound holds in ${share(judged.holds[size])}`)));
  }
  mark(figure, [across(0), up(0)], "today's size", "#222", text);
  if (chosen >= 0 && chosen !== report.base) {
    figure.append(line([x[chosen], interval.low], [x[chosen], interval.high], {stroke: "#b34700", "stroke-width": 2}));
    mark(figure, [across(x[chosen]), up(y[chosen])], "the choice", "#b34700", text);
  }
  document.getElementById("chart").replaceChildren(figure);
  document.getElementById("chart-caption").textContent =
    `Each dot is a size, at its means over the draws: blue where the bound holds in ${share(setting.confidence)} of them `
    + "or more, hollow where it does not. The choice has the highest blue dot; its bar is the "
    + `${sure} interval of its revenue.`
    + (report.roi === "incremental" ? " Above the dashed line the mean keeps the bound." : "")
    + (useful.length < sizes ? ` ${sizes - useful.length} sizes that keep the bound in less than a tenth of the draws are not drawn.` : "");
}

function mark(figure, [x, y], words, colour, text) {
  figure.append(drawn("circle", {cx: x, cy: y, r: 6, fill: colour, stroke: "#fff"}),
    text([x + 10, y - 8], words, {style: `fill: ${colour}; font-weight: 600`}));
}

function boundLine(slope, [x0, x1, y0, y1], line) {
  const inside = slope > 0 ? [Math.max(x0, y0 / slope), Math.min(x1, y1 / slope)] : [x0, x1];
  return line([inside[0], slope * inside[0]], [inside[1], slope * inside[1]],
    {stroke: "#666", "stroke-dasharray": "5 4"});
}

// ---- sliders -------------------------------------------------------------------------

/** Set the sliders to the values in the address, as #roi_min=2&confidence=0.95; the nearest ones. */
function fromAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const slider = report.sliders.find(one => one.name === name);
    if (!slider || !Number.isFinite(+value)) continue;
    const distance = slider.values.map(one => Math.abs(one - value));
    document.getElementById(name).value = distance.indexOf(Math.min(...distance));
  }
  show();
}

let asked = 0;
function later() {  // once a frame, however fast a slider moves
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(show);
}

const form = document.getElementById("sliders");
form.addEventListener("input", later);
form.addEventListener("reset", () => setTimeout(show));
form.addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", fromAddress);
fromAddress();
