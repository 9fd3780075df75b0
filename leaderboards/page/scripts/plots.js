"use strict";
/* Plots on Chart.js: one look for all of them, whiskers of intervals, names beside marks. */

const plots = new Map();
const waiting = new Map();
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && waiting.has(target)) draw(target);
    }
  },
  { rootMargin: "300px" },
);

/** A plot that is drawn when it comes into view; `configure` gives Chart.js its configuration. */
function plot(title, summary, configure, height = null) {
  const canvas = el("canvas", { role: "img", "aria-label": `${title}. ${summary}` });
  const paper = el("div", { class: "paper" }, canvas);
  if (height) paper.style.height = `${height}px`;
  const figure = el("figure", { class: "card plot" }, el("h3", {}, title), paper);
  figure.style.margin = "0";
  if (summary) figure.append(el("figcaption", { class: "muted small" }, summary));
  waiting.set(canvas, configure);
  seen.observe(canvas);
  return figure;
}

function draw(canvas) {
  const configure = waiting.get(canvas);
  waiting.delete(canvas);
  setDefaults();
  plots.set(canvas, [new Chart(canvas, configure()), configure]);
}

/** Draw again what is drawn, in the colours of now. */
function redraw() {
  for (const [canvas, [chart, configure]] of [...plots]) {
    chart.destroy();
    plots.delete(canvas);
    if (!canvas.isConnected) continue;
    waiting.set(canvas, configure);
    draw(canvas);
  }
}

/** Take plots out of an element with what they hold. */
function clear(element) {
  for (const canvas of element.querySelectorAll("canvas")) {
    plots.get(canvas)?.[0].destroy();
    plots.delete(canvas);
    waiting.delete(canvas);
    seen.unobserve(canvas);
  }
  element.replaceChildren();
}

const colourNow = (name) => {
  const probe = el("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};

function setDefaults() {
  const family = getComputedStyle(document.documentElement).fontFamily;
  Chart.defaults.font = { family, size: 12 };
  Chart.defaults.color = colourNow("--muted");
  Chart.defaults.borderColor = colourNow("--line");
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.plugins.legend.display = false;
  Object.assign(Chart.defaults.plugins.tooltip, {
    backgroundColor: colourNow("--text"),
    titleColor: colourNow("--card"),
    bodyColor: colourNow("--card"),
    displayColors: false,
    padding: 9,
    cornerRadius: 7,
  });
}

const axisTitle = (text) => ({ display: true, text, font: { size: 12 } });

/** An axis from 0 to 100% that ends where the highest value or end of a whisker is. */
function percentAxis(title, highest) {
  const most = Math.max(...highest),
    step = most > 50 ? 20 : 10;
  return {
    title: axisTitle(title),
    min: 0,
    max: Math.min(100, Math.max(10, Math.ceil(most / 10) * 10)),
    border: { display: false },
    ticks: { stepSize: step, includeBounds: false },
  };
}

/** Lines of a grid at the ticks with a number alone. */
const toldGrid = () => ({
  color: ({ tick }) => (tick?.label ? Chart.defaults.borderColor : "transparent"),
});

/** Ticks of a logarithmic axis: the powers of ten, and 2 and 5 where there are few of them. */
function logTick(value, decades, write) {
  const digit = Number(value.toExponential()[0]);
  const shown = decades > 2.2 ? [1] : decades > 1 ? [1, 3] : [1, 2, 3, 5];
  return Math.abs(value - digit * 10 ** Math.floor(Math.log10(value) + 1e-9)) < value * 1e-6 &&
    shown.includes(digit)
    ? write(value)
    : "";
}

/** Whiskers from `low` to `high` of each point that has them, along the axis of the values. */
const whiskers = {
  id: "whiskers",
  afterDatasetsDraw(chart) {
    const { ctx, data, chartArea: area } = chart;
    const across = chart.options.indexAxis === "y";
    ctx.save();
    ctx.beginPath();
    ctx.rect(area.left - 6, area.top - 6, area.width + 12, area.height + 12);
    ctx.clip();
    ctx.lineWidth = 1.5;
    data.datasets.forEach((dataset, which) => {
      if (!dataset.whiskers) return;
      chart.getDatasetMeta(which).data.forEach((element, place) => {
        const range = dataset.whiskers[place];
        if (!range) return;
        ctx.strokeStyle = dataset.whiskerColour;
        ctx.beginPath();
        const scale = chart.scales[across ? "x" : "y"];
        const [low, high] = range.map((value) => scale.getPixelForValue(value));
        const x = element.x + (dataset.aside ?? 0);
        const ends = across
          ? [
              [low, element.y, high, element.y],
              [low, element.y - 4, low, element.y + 4],
              [high, element.y - 4, high, element.y + 4],
            ]
          : [[x, low, x, high]];
        for (const [x0, y0, x1, y1] of ends) {
          ctx.moveTo(x0, y0);
          ctx.lineTo(x1, y1);
        }
        ctx.stroke();
      });
    });
    ctx.restore();
  },
};

/** The shapes of `looks.js` in place of Chart.js's own, so that plots and tables agree. */
const marks = {
  id: "marks",
  afterDatasetsDraw(chart) {
    chart.data.datasets.forEach((dataset, which) => {
      if (!dataset.mark) return;
      for (const { x, y } of chart.getDatasetMeta(which).data) drawMark(chart.ctx, dataset, x, y);
    });
  },
};

function drawMark(ctx, { mark, hollow, markColour, markSize = 1 }, x, y) {
  ctx.save();
  ctx.translate(x - 6 * markSize, y - 6 * markSize);
  ctx.scale(markSize, markSize);
  const shape = new Path2D(DRAWN[mark]);
  ctx.lineWidth = 2;
  ctx.strokeStyle = ctx.fillStyle = markColour;
  if (hollow) {
    ctx.fillStyle = colourNow("--card");
    ctx.fill(shape);
    ctx.stroke(shape);
  } else ctx.fill(shape);
  ctx.restore();
}

const overlap = (one, other) =>
  one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];

/** What the steps of a chart's fronts cover. */
function stepsOf(chart) {
  return chart.data.datasets.flatMap((dataset, which) => {
    if (!dataset.stepped) return [];
    const points = chart.getDatasetMeta(which).data;
    return points.slice(1).flatMap(({ x, y }, place) => {
      const before = points[place];
      return [
        [before.x, before.y - 2, x, before.y + 2],
        [x - 2, Math.min(y, before.y), x + 2, Math.max(y, before.y)],
      ];
    });
  });
}

/** Names beside single marks, each on the first side where it covers nothing, if need be a line
    of a front; else none. */
const names = {
  id: "names",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea: area } = chart;
    const points = chart.data.datasets.flatMap((dataset, which) =>
      dataset.name ? [{ ...chart.getDatasetMeta(which).data[0], name: dataset.name }] : [],
    );
    const taken = points.map(({ x, y }) => [x - 8, y - 8, x + 8, y + 8]),
      lines = stepsOf(chart);
    ctx.save();
    ctx.font = `12px ${Chart.defaults.font.family}`;
    ctx.fillStyle = colourNow("--text");
    ctx.textBaseline = "middle";
    ctx.lineWidth = 4;
    ctx.lineJoin = "round";
    ctx.strokeStyle = colourNow("--card");
    for (const { x, y, name } of points) {
      const wide = ctx.measureText(name).width;
      const sides = [
        [x + 10, y],
        [x - 10 - wide, y],
        [x - wide / 2, y - 16],
        [x - wide / 2, y + 16],
        [x + 10, y - 13],
        [x + 10, y + 13],
        [x - 10 - wide, y - 13],
        [x - 10 - wide, y + 13],
      ];
      const boxes = sides
        .map(([left, middle]) => [left - 1, middle - 7, left + wide + 1, middle + 7])
        .filter(
          (box) =>
            box[0] >= area.left &&
            box[2] <= area.right + 4 &&
            box[1] >= area.top - 4 &&
            box[3] <= area.bottom &&
            !taken.some((other) => overlap(box, other)),
        );
      const free = boxes.find((box) => !lines.some((line) => overlap(box, line))) ?? boxes[0];
      if (!free) continue;
      taken.push(free);
      ctx.strokeText(name, free[0] + 1, (free[1] + free[3]) / 2);
      ctx.fillText(name, free[0] + 1, (free[1] + free[3]) / 2);
    }
    ctx.restore();
  },
};

/** Which marks stand for which rows; the full label where the short name needed a number. */
function legend(rows) {
  return el(
    "ul",
    { class: "legend" },
    rows.map(({ label, oracle }) => {
      const short = shortName(label),
        isNumbered = !label.startsWith(short);
      return el(
        "li",
        {},
        markOf(label, oracle),
        foreign(short),
        isNumbered ? foreign(label, { class: "muted small" }) : null,
        oracle ? el("span", { class: "badge" }, "oracle") : null,
      );
    }),
  );
}
