
// Sorts the table by the column whose head is pressed; without this it stands by video id.
"use strict";
const table = document.getElementById("videos");
const body = table.tBodies[0];
const heads = Array.from(table.tHead.rows[0].cells);
const value = (row, at) => {
  const cell = row.cells[at];
  if (at === 0) return cell.textContent;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
};
const sort = (at) => {
  const turned = heads[at].getAttribute("aria-sort") === (at ? "descending" : "ascending");
  const up = at === 0 ? !turned : turned;
  const rows = Array.from(body.rows, (row) => [value(row, at), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
  });
  body.append(...rows.map(([, row]) => row));
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[at].setAttribute("aria-sort", up ? "ascending" : "descending");
};
heads.forEach((head, at) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.addEventListener("click", () => sort(at));
  head.replaceChildren(button);
});
