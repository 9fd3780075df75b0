"use strict";
/* Packed parts of the page: gzip in base64, unpacked when they are asked for. */

const unpacked = new Map();
const MOST_UNPACKED = 12;

/** The value that the part of this id holds; the parts used last are kept. */
function unpack(id) {
  const found = unpacked.get(id) ?? decode(byId(id).textContent);
  unpacked.delete(id);
  unpacked.set(id, found);
  if (unpacked.size > MOST_UNPACKED) unpacked.delete(unpacked.keys().next().value);
  return found;
}

async function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** A text as the page holds it, whole or cut: what there is of it, and how long it is in all. */
const textOf = (value) => (value && typeof value === "object" ? value.cut : (value ?? ""));
const isCut = (value) =>
  Boolean(value && typeof value === "object" && "cut" in value && "of" in value);
