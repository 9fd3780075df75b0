"use strict";
/* Bars of each task, methods over growing corpora, learning curves. */

const barState = { quality: "f1" };

function startBars() {
  const section = byId("bars");
  const tables = page.tables.filter(({ kind }) => kind === "task");
  if (!tables.length) {
    section.remove();
    return;
  }
  const qualities = ["f1", "em", "contains", "recall", "all_gold"]
    .filter((key) => page.columns[key])
    .map((key) => [key, page.columns[key].label]);
  section.append(
    el(
      "div",
      { class: "controls" },
      choice("Score", qualities, "f1", (quality) => {
        barState.quality = quality;
        showBars(tables);
      }),
    ),
    el("div", { class: "plots", id: "bar-plots" }),
  );
  showBars(tables);
}

function showBars(tables) {
  const into = byId("bar-plots"),
    { label } = page.columns[barState.quality];
  clear(into);
  for (const table of tables) {
    const rows = table.rows.filter(({ cells }) => cells[barState.quality]);
    if (!rows.length) continue;
    const asked = `n = ${table.questions.toLocaleString("en-US")}`;
    const title = [...new Set([...table.short.split(" \u00b7 "), label, asked])].join(" \u00b7 ");
    const height = 58 + 27 * rows.length;
    into.append(plot(title, "", () => barChart(rows, label), height));
  }
  if (!into.children.length) into.append(el("p", { class: "muted" }, `No row has a ${label}.`));
}

function barChart(rows, label) {
  const scores = rows.map(({ cells }) =>
    cells[barState.quality].slice(1).map((value) => 100 * value),
  );
  return {
    type: "bar",
    plugins: [whiskers],
    data: {
      labels: rows.map((row) => shortName(row.label) + (row.oracle ? " \u2020" : "")),
      datasets: [
        {
          data: scores.map(([mean]) => mean),
          whiskers: scores.map((score) => (score.length > 2 ? score.slice(1, 3) : null)),
          whiskerColour: colourNow("--text"),
          backgroundColor: rows.map(({ label: name }) => `${colourOf(name)}b0`),
          borderRadius: 3,
          barPercentage: 0.72,
          categoryPercentage: 0.9,
        },
      ],
    },
    options: {
      indexAxis: "y",
      scales: {
        x: percentAxis(
          `${label}, %`,
          scores.map((score) => score[2] ?? score[0]),
        ),
        y: {
          grid: { display: false },
          border: { display: false },
          ticks: {
            autoSkip: false,
            color: colourNow("--text"),
            callback(value) {
              return clipped(this.getLabelForValue(value), 24);
            },
          },
        },
      },
      plugins: {
        tooltip: {
          callbacks: {
            title: ([item]) => rows[item.dataIndex].label,
            label: ({ dataIndex }) => `${label} ${writtenScore(scores[dataIndex])}`,
          },
        },
      },
    },
  };
}

const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
const writtenScore = ([mean, low, high]) =>
  mean.toFixed(1) + (low === undefined ? "" : ` [${low.toFixed(1)}, ${high.toFixed(1)}]`);

function startScaling() {
  const section = byId("scaling");
  if (!page.scaling.length) {
    section.remove();
    return;
  }
  section.append(
    el(
      "p",
      { class: "muted" },
      "The same questions over corpora of growing size, all gold documents in each.",
    ),
  );
  for (const { title, measures, lines } of page.scaling) {
    const charts = measures.map((name, place) => {
      const series = Object.entries(lines)
        .map(([label, points]) => ({
          label,
          points: points
            .filter(({ values }) => values[place])
            .map(({ documents, values }) => ({ x: documents, y: values[place][0] })),
          ranges: points
            .filter(({ values }) => values[place])
            .map(({ values }) => values[place].slice(1)),
        }))
        .filter(({ points }) => points.length);
      return series.length ? plot(name, "", () => scalingChart(name, series)) : null;
    });
    section.append(
      el("h3", {}, foreign(title)),
      legend(Object.keys(lines).map((label) => ({ label }))),
      el("div", { class: "plots" }, charts),
    );
  }
}

function scalingChart(name, series) {
  const time = name.endsWith("ms");
  return {
    type: "line",
    plugins: [whiskers, marks],
    data: {
      datasets: series.map(({ label, points, ranges }, place) => ({
        label,
        data: points,
        borderColor: colourOf(label),
        borderWidth: 2,
        pointRadius: 6,
        pointBackgroundColor: "transparent",
        pointBorderColor: "transparent",
        mark: shapeOf(label),
        markColour: colourOf(label),
        markSize: 0.8,
        whiskers: ranges.map(([low, high]) => (high > low ? [low, high] : null)),
        whiskerColour: `${colourOf(label)}90`,
        aside: 3 * (place - (series.length - 1) / 2),
      })),
    },
    options: {
      scales: {
        x: {
          type: "logarithmic",
          grid: toldGrid(),
          title: axisTitle("Documents (log)"),
          border: { display: false },
          ticks: {
            autoSkip: true,
            maxRotation: 0,
            callback: (value) => logTick(value, 1.5, plainNumber),
          },
        },
        y: time
          ? {
              type: "logarithmic",
              grid: toldGrid(),
              title: axisTitle(`${name} (log)`),
              border: { display: false },
              ticks: { autoSkip: false, callback: (value) => logTick(value, 1.5, plainNumber) },
            }
          : percentAxis(
              name,
              series.flatMap(({ ranges }) => ranges.map(([, high]) => high)),
            ),
      },
      plugins: {
        tooltip: {
          callbacks: {
            title: ([item]) => item.dataset.label,
            label: ({ parsed }) => `${plainNumber(parsed.x)} documents: ${plainNumber(parsed.y)}`,
          },
        },
      },
    },
  };
}

/* Losses, recalls and whatever else a training notes have axes of their own. */
function startLearning() {
  const section = byId("learning");
  if (!page.learning.length) {
    section.remove();
    return;
  }
  section.append(
    el("p", { class: "muted" }, "What the trained parts of these runs noted, by training step."),
  );
  for (const { name, series } of page.learning) {
    const kinds = new Map();
    for (const each of series) {
      const kind = each.measure.includes("recall")
        ? "Recall"
        : each.measure.includes("loss")
          ? "Loss"
          : "Validation";
      kinds.set(kind, [...(kinds.get(kind) ?? []), each]);
    }
    section.append(
      el("h3", {}, foreign(name)),
      el(
        "div",
        { class: "plots" },
        [...kinds].map(([kind, curves]) => plot(kind, "", () => learningChart(kind, curves))),
      ),
    );
  }
}

function learningChart(kind, curves) {
  const colours = COLOURS[isDark() ? "dark" : "light"];
  return {
    type: "line",
    data: {
      datasets: curves.map(({ measure, points }, place) => ({
        label: measure,
        data: points.map(([x, y]) => ({ x, y })),
        borderColor: colours[place % colours.length],
        borderWidth: 1.6,
        borderDash: place < colours.length ? [] : [5, 3],
        pointRadius: points.length > 20 ? 0 : 3,
        pointHitRadius: 6,
      })),
    },
    options: {
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: { type: "linear", title: axisTitle("Step"), border: { display: false } },
        y: { title: axisTitle(kind), border: { display: false }, beginAtZero: kind === "Recall" },
      },
      plugins: {
        legend: { display: true, position: "bottom", labels: { boxWidth: 14, boxHeight: 2 } },
      },
    },
  };
}
