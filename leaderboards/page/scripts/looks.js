"use strict";
/* Looks: each row's colour and shape, the same in every table and plot, and the page's colours. */

const page = JSON.parse(byId("data").textContent);

/* Okabe and Ito's colours, which colour-blind readers can tell apart, and lighter ones for dark. */
const COLOURS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#3d4650"],
  dark: ["#56A8E8", "#FF8B4D", "#2EC59A", "#E79CC4", "#F2B632", "#9AD8FF", "#D5DCE4"],
};
/* Their number and that of the colours have no common factor: 56 pairs before one comes again. */
const SHAPES = ["circle", "rect", "triangle", "rectRot", "down", "plus", "bar", "ring"];
const DRAWN = {
  circle: "M6 1a5 5 0 1 1 0 10a5 5 0 1 1 0-10z",
  rect: "M1.5 1.5h9v9h-9z",
  triangle: "M6 1l5.5 10H.5z",
  rectRot: "M6 .5L11.5 6L6 11.5L.5 6z",
  down: "M6 11L.5 1h11z",
  plus: "M4.2 1h3.6v3.2H11v3.6H7.8V11H4.2V7.8H1V4.2h3.2z",
  bar: "M1 4h10v4H1z",
  ring: "M6 1a5 5 0 1 1 0 10a5 5 0 1 1 0-10zM6 3.6a2.4 2.4 0 1 0 0 4.8a2.4 2.4 0 1 0 0-4.8z",
};

const places = new Map(page.labels.map(({ label }, place) => [label, place]));
const shortNames = new Map(page.labels.map(({ label, short }) => [label, short]));
const shortName = (label) => shortNames.get(label) ?? label;
const shapeOf = (label) => SHAPES[(places.get(label) ?? 0) % SHAPES.length];

function colourOf(label) {
  const colours = COLOURS[isDark() ? "dark" : "light"];
  return colours[(places.get(label) ?? 0) % colours.length];
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const SVG = "http://www.w3.org/2000/svg";

/** The mark of a row beside its name; hollow for one that is shown gold. */
function markOf(label, hollow = false) {
  const svg = document.createElementNS(SVG, "svg"),
    path = document.createElementNS(SVG, "path");
  for (const [key, value] of [
    ["viewBox", "-1 -1 14 14"],
    ["width", 13],
    ["height", 13],
    ["aria-hidden", "true"],
  ]) {
    svg.setAttribute(key, value);
  }
  const place = (places.get(label) ?? 0) % COLOURS.light.length;
  const colour = `light-dark(${COLOURS.light[place]}, ${COLOURS.dark[place]})`;
  path.setAttribute("d", DRAWN[shapeOf(label)]);
  path.style.fill = hollow ? "none" : colour;
  path.style.stroke = hollow ? colour : "none";
  path.style.strokeWidth = "2";
  svg.append(path);
  return svg;
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  press(byId("theme"), theme, "theme");
  redraw();
}

/** The switch of colours; the choice is kept where the browser keeps anything for this file. */
function startThemes() {
  let known = "auto";
  try {
    known = localStorage.getItem("theme") ?? "auto";
  } catch {
    /* nothing is kept */
  }
  for (const button of byId("theme").children) {
    button.addEventListener("click", () => {
      setTheme(button.dataset.theme);
      try {
        localStorage.setItem("theme", button.dataset.theme);
      } catch {
        /* nothing is kept */
      }
    });
  }
  if (["light", "dark"].includes(known)) setTheme(known);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
