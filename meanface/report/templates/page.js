"use strict";

// Tables: a button in the head sorts by its column, and once more the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const value = (row) => row.cells[column].dataset.value;
    const isNumber = head.classList.contains("number");
    const first = isNumber ? "descending" : "ascending";
    const other = isNumber ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => sign * (isNumber ? value(a) - value(b) : value(a).localeCompare(value(b))));
    table.tBodies[0].append(...rows);
  }));
}

// The map: the pointer, the arrow keys and the search choose a face, the legend a person.
{
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const faces = read("map-faces"), images = read("map-images");
  const map = document.getElementById("points"), ring = document.getElementById("ring");
  const marks = [...document.querySelectorAll("#all use")];
  const places = marks.map((mark) => [mark.x.baseVal.value, mark.y.baseVal.value]);
  const chosen = document.getElementById("chosen");
  let at = -1;

  const line = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  function choose(index) {
    at = index;
    const face = faces[index];
    ring.setAttribute("cx", places[index][0]);
    ring.setAttribute("cy", places[index][1]);
    ring.setAttribute("visibility", "visible");
    chosen.replaceChildren();
    if (images[index]) {
      chosen.append(Object.assign(new Image(), { src: images[index], alt: "" }));
    }
    if (face.person) chosen.append(line("p", face.person));
    chosen.append(line("p", face.name), line("p", `${face.distance.toFixed(3)} from the mean`));
  }

  const isShown = (index) => !marks[index].classList.contains("dim");
  function nearest(event) {
    const box = map.getBoundingClientRect();
    const scale = map.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = -1, least = (24 * scale) ** 2;
    places.forEach(([px, py], index) => {
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away < least && isShown(index)) [best, least] = [index, away];
    });
    if (best >= 0 && best !== at) choose(best);
  }
  map.addEventListener("pointermove", nearest);
  map.addEventListener("pointerdown", nearest);

  // The arrow keys go to the nearest face in their direction.
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    const direction = directions[event.key];
    if (!direction) return;
    event.preventDefault();
    const [dx, dy] = direction;
    const from = at < 0 ? [map.viewBox.baseVal.width / 2, map.viewBox.baseVal.height / 2] : places[at];
    let best = -1, least = Infinity;
    places.forEach(([px, py], index) => {
      const x = px - from[0], y = py - from[1];
      const along = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
      const cost = along + 2 * aside;
      if (along > 0 && cost < least && isShown(index)) [best, least] = [index, cost];
    });
    if (best >= 0) choose(best);
  });

  const buttons = [...document.querySelectorAll(".legend button")];
  const wanted = document.getElementById("wanted"), found = document.getElementById("found");
  function show() {
    const text = wanted.value.trim().toLowerCase();
    const pressed = buttons.find((button) => button.getAttribute("aria-pressed") === "true");
    const matches = [];
    marks.forEach((mark, index) => {
      const { name, person } = faces[index];
      const isOfKind = !pressed || mark.classList.contains(`k${pressed.dataset.kind}`);
      const isFound = !text || `${name}\n${person}`.toLowerCase().includes(text);
      mark.classList.toggle("dim", !(isOfKind && isFound));
      if (text && isOfKind && isFound) matches.push(index);
    });
    found.textContent = text ? `${matches.length} of ${faces.length} ${faces.length === 1 ? "face" : "faces"} on the map` : "";
    if (matches.length) choose(matches[0]);
  }
  wanted.addEventListener("input", show);
  wanted.form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const isPressed = button.getAttribute("aria-pressed") === "true";
      buttons.forEach((one) => one.setAttribute("aria-pressed", "false"));
      button.setAttribute("aria-pressed", String(!isPressed));
      show();
    });
  }
}
