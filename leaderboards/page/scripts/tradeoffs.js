"use strict";
/* Trade-offs: quality against one cost a plot, and the rows that no other beats in both. */

const COSTS = [
  ["latency", "Latency", ", seconds"],
  ["ttft", "First token", ", seconds"],
  ["storage", "Storage", ", MB per 1,000 documents"],
  ["tokens", "Tokens", " per question"],
  ["calls", "Calls", " per question"],
];
const TIMES = ["latency", "ttft"];
const tradeoffState = { name: null, quality: "f1", share: "p50" };

function startTradeoffs() {
  const section = byId("tradeoffs");
  const tables = page.tables.filter((table) =>
    COSTS.some(([cost]) => pointsOf(table, "f1", cost).length),
  );
  if (!tables.length) {
    section.remove();
    return;
  }
  tradeoffState.name = (tables.find(({ kind }) => kind === "task") ?? tables[0]).name;
  const qualities = ["f1", "em", "contains", "recall"]
    .filter((key) => page.columns[key])
    .map((key) => [key, page.columns[key].label]);
  const isTimed = tables.some((table) => TIMES.some((cost) => pointsOf(table, "f1", cost).length));
  const shares = [
    ["p50", "p50"],
    ["p90", "p90"],
  ];
  const chosen = (change) => {
    Object.assign(tradeoffState, change);
    showTradeoffs();
  };
  section.append(
    el(
      "p",
      { class: "muted" },
      "Up and to the left is better. The line is the Pareto front: no other row is as good " +
        "at a lower cost. Rows that are shown gold (hollow) take no part in it. Whiskers are 95% intervals.",
    ),
    el(
      "div",
      { class: "controls" },
      chooser(
        "Table",
        "tradeoff-table",
        tables.map(({ name, short }) => [name, short]),
        tradeoffState.name,
        (name) => chosen({ name }),
      ),
      chooser("Quality", "tradeoff-quality", qualities, "f1", (quality) => chosen({ quality })),
      isTimed ? choice("Times", shares, "p50", (share) => chosen({ share })) : null,
    ),
    el("div", { id: "tradeoff-legend" }),
    el("div", { class: "plots", id: "tradeoff-plots" }),
    el("p", { class: "muted small", id: "tradeoff-missing" }),
  );
  showTradeoffs();
}

function showTradeoffs() {
  const table = tableOf(tradeoffState.name),
    { quality, share } = tradeoffState,
    into = byId("tradeoff-plots"),
    missing = [];
  clear(into);
  byId("tradeoff-legend").replaceChildren(legend(table.rows));
  for (const [cost, name, unit] of COSTS) {
    const points = pointsOf(table, quality, cost);
    const title = `${name}${TIMES.includes(cost) ? ` ${share}` : ""}${unit}`;
    const floors = cost === "storage" ? table.floors : [];
    const isAlike = points.length > 1 && points.every(({ x }) => x === points[0].x);
    if (points.length && !isAlike)
      into.append(tradeoff(title, page.columns[quality].label, points, { cost, floors }));
    else missing.push(`${name} (${isAlike ? "all rows have the same" : "not known"})`);
  }
  byId("tradeoff-missing").textContent = missing.length
    ? `Not plotted: ${missing.join(", ")}.`
    : "";
}

/** Rows with both values; quality in percent. */
function pointsOf(table, quality, cost) {
  return table.rows.flatMap((row) => {
    const score = row.cells[quality],
      x = costOf(row, cost);
    if (!score || x === null) return [];
    const [mean, ...ends] = score.slice(1).map((value) => 100 * value);
    return [{ row, x, y: mean, range: ends.length ? ends : null }];
  });
}

const costOf = (row, cost) =>
  tradeoffState.share === "p90" && TIMES.includes(cost)
    ? (row.p90[cost] ?? null)
    : valueOf(row.cells[cost]);

/** The points that no other one beats in cost and quality, cheapest first. */
function front(points) {
  const sorted = points.filter(({ row }) => !row.oracle).sort((a, b) => a.x - b.x || b.y - a.y);
  const kept = [];
  for (const point of sorted) {
    if (!kept.length || point.y > kept.at(-1).y) kept.push(point);
  }
  return kept;
}

function tradeoff(title, quality, points, { cost, floors }) {
  const best = front(points);
  const summary = best.length
    ? `On the front: ${best.map(({ row }) => shortName(row.label)).join(", ")}.`
    : "No row takes part in the front.";
  const told = floors.map(([name, size]) => `${name} ${plainNumber(size)}`).join(", ");
  return plot(
    title,
    summary + (told && ` Dotted: what the same text takes at least: ${told}.`),
    () => tradeoffChart(title, quality, points, best, { cost, floors }),
  );
}

function tradeoffChart(title, quality, points, best, { cost, floors }) {
  const positive = [...points.map(({ x }) => x), ...floors.map(([, size]) => size)].filter(
    (x) => x > 0,
  );
  const least = Math.min(...positive, Infinity),
    most = Math.max(...positive, 0);
  // A logarithmic axis has no zero: it gets a place of its own at the left end.
  const zero = least === Infinity ? 0.1 : 10 ** Math.floor(Math.log10(least) - 0.5);
  const hasZero = points.some(({ x }) => x === 0);
  const at = (x) => (x > 0 ? x : zero);
  const min = hasZero ? zero : least / 1.6,
    max = most > 0 ? most * 2.2 : 10 * zero;
  const line = colourNow("--muted");
  const steps = best.map(({ x, y }) => ({ x: at(x), y }));
  if (steps.length) steps.push({ x: max, y: steps.at(-1).y });
  const datasets = points.map(({ row, x, y, range: ends }) => ({
    data: [{ x: at(x), y }],
    row,
    name: shortName(row.label),
    mark: shapeOf(row.label),
    hollow: row.oracle,
    markColour: colourOf(row.label),
    whiskers: ends && [ends],
    whiskerColour: `${colourOf(row.label)}90`,
    pointRadius: 7,
    pointHoverRadius: 7,
    pointBackgroundColor: "transparent",
    pointBorderColor: "transparent",
  }));
  datasets.push({
    type: "line",
    data: steps,
    stepped: true,
    borderColor: line,
    borderDash: [5, 4],
    borderWidth: 1.5,
    pointRadius: 0,
    pointHitRadius: 0,
  });
  const highest = points.map(({ y, range: ends }) => ends?.[1] ?? y);
  for (const [, size] of floors) {
    datasets.push({
      type: "line",
      data: [
        { x: size, y: 0 },
        { x: size, y: 100 },
      ],
      borderColor: line,
      borderDash: [2, 4],
      borderWidth: 1.5,
      pointRadius: 0,
      pointHitRadius: 0,
    });
  }
  return {
    type: "scatter",
    data: { datasets },
    plugins: [whiskers, marks, names],
    options: {
      layout: { padding: { top: 6, right: 24 } },
      interaction: { mode: "nearest", intersect: true },
      scales: {
        x: {
          type: "logarithmic",
          min,
          max,
          grid: toldGrid(),
          title: axisTitle(`${title} (log)`),
          border: { display: false },
          ticks: {
            autoSkip: false,
            maxRotation: 0,
            callback: (value) =>
              hasZero && value === zero ? "0" : logTick(value, Math.log10(max / min), plainNumber),
          },
        },
        y: percentAxis(`${quality}, %`, highest),
      },
      plugins: {
        tooltip: {
          filter: ({ dataset }) => Boolean(dataset.row),
          callbacks: {
            title: ([item]) => item?.dataset.row.label ?? "",
            label: ({ dataset, parsed }) => [
              `${quality} ${parsed.y.toFixed(1)}${dataset.whiskers ? ` [${dataset.whiskers[0].map((v) => v.toFixed(1)).join(", ")}]` : ""}`,
              `${page.columns[cost].label}: ${dataset.row.cells[cost][0]}`,
            ],
          },
        },
      },
    },
  };
}
