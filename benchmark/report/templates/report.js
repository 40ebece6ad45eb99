"use strict";
// Selects, sorts and draws rows that were worked out beforehand; computes no number.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  const theme = document.getElementById("theme");
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const keep = { get: () => null, set: () => {} };
  try {
    const store = window.sessionStorage;
    keep.get = () => store.getItem("plumbline-theme");
    keep.set = (name) => store.setItem("plumbline-theme", name);
  } catch { /* a page from a file may have no storage: the choice lasts as long as the page */ }
  const label = () => {
    theme.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  try { if (keep.get()) root.dataset.theme = keep.get(); } catch { /* as above */ }
  label();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { keep.set(root.dataset.theme); } catch { /* as above */ }
    label();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((it) => { it.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((it) => { it.open = false; }));

  const source = document.getElementById("board-data");
  const table = document.getElementById("board");
  if (!source || !table) return;
  const data = JSON.parse(source.textContent);
  const bodies = { methods: document.getElementById("board-methods"), controls: document.getElementById("board-controls") };
  const status = document.getElementById("board-status");
  const filters = Object.fromEntries(
    ["truth", "family", "images", "model"].map((name) => [name, document.getElementById(`filter-${name}`)]));
  const heads = [...table.tHead.querySelectorAll("th[data-column]")];
  const place = Object.fromEntries(data.columns.map((name, at) => [name, at]));
  const order = { column: null, descending: false };

  const chosen = (name) => (filters[name] ? Number(filters[name].value) : 0);
  const rows = () => {
    const board = data.boards[[chosen("truth"), chosen("family"), chosen("images")].join(".")] ?? [];
    const model = filters.model ? filters.model.value : "all";
    return board.map((line) => line.split("|")).filter((row) =>
      (model === "all" ? data.shown.includes(Number(row[place.model])) : row[place.model] === model));
  };
  const text = (row, name) => {
    if (name === "model") return data.models[Number(row[place.model])];
    if (name === "method") return data.methods[Number(row[place.method])][0];
    if (name === "targets") return data.methods[Number(row[place.method])][1];
    return row[place[name]];
  };
  const isControl = (row) => data.methods[Number(row[place.method])][2];
  const number = (shown) => (shown === "" ? NaN : Number(shown.replaceAll(",", "")));
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => text(row, order.column));
    const sign = order.descending ? -1 : 1;
    if (["model", "method", "targets"].includes(order.column)) return sign * x.localeCompare(y);
    const [u, v] = [number(x), number(y)];
    if (Number.isNaN(u) || Number.isNaN(v)) return Number(Number.isNaN(u)) - Number(Number.isNaN(v));
    return sign * (u - v);
  };

  const element = (tag, name, content) => {
    const it = document.createElement(tag);
    if (name) it.className = name;
    if (content !== undefined) it.textContent = content;
    return it;
  };
  // A long name breaks after its signs rather than anywhere, as in the rows that the page came with.
  const named = (it, name) => {
    name.split(/(?<=[_(=,])/).forEach((part, at) => it.append(...(at ? [document.createElement("wbr"), part] : [part])));
    return it;
  };
  const whisker = (row) => {
    const it = element("span", "whisker");
    it.setAttribute("aria-hidden", "true");
    for (const [name, column] of [["value", "rmse"], ["low", "low"], ["high", "high"], ["uniform", "rmse_uniform"]])
      if (text(row, column) !== "") it.style.setProperty(`--${name}`, text(row, column));
    if (text(row, "low") !== "") it.append(element("i", "range"));
    it.append(element("i", "chance"), element("i", "point"));
    return it;
  };
  const cell = (row, head) => {
    const name = head.dataset.column;
    const shown = text(row, name);
    if (name === "method") {
      const it = named(element("th", "first"), shown);
      it.scope = "row";
      it.append(element("span", "sub", isControl(row) ? "control" : `targets ${text(row, "targets")}`));
      return it;
    }
    const it = element("td", name === "model" ? "text" : "", shown === "" ? "–" : shown);
    if (name === "rmse" && shown !== "") {
      it.append(whisker(row));
      if (text(row, "low") !== "") it.append(element("span", "sub", `${text(row, "low")} to ${text(row, "high")}`));
    }
    if (name === "skill" && text(row, "rmse_uniform") !== "") it.append(element("span", "sub", `equal shares ${text(row, "rmse_uniform")}`));
    if (name === "rbo" && text(row, "rbo_chance") !== "") it.append(element("span", "sub", `chance ${text(row, "rbo_chance")}`));
    return it;
  };
  const line = (row) => {
    const it = document.createElement("tr");
    it.append(...heads.map((head) => cell(row, head)));
    return it;
  };

  const draw = () => {
    const found = rows();
    const [methods, controls] = [found.filter((row) => !isControl(row)), found.filter(isControl)];
    if (order.column) methods.sort(compare);
    bodies.methods.replaceChildren(...methods.map(line));
    bodies.controls.replaceChildren(...controls.map(line));
    const words = Object.values(filters).filter(Boolean).map((it) => it.selectedOptions[0].textContent);
    const missing = data.omitted
      ? "This page may hold no such combination: choose “all” for one of them, or make a report of fewer runs."
      : "";
    status.textContent = found.length
      ? `${methods.length} ${methods.length === 1 ? "row" : "rows"}: ${words.join("; ")}.`
      : `No results: ${words.join("; ")}. ${missing}`;
    for (const head of heads)
      head.setAttribute("aria-sort", head.dataset.column === order.column ? (order.descending ? "descending" : "ascending") : "none");
  };

  for (const head of heads) {
    const button = element("button", "", head.textContent.trim());
    button.type = "button";
    button.addEventListener("click", () => {
      order.descending = order.column === head.dataset.column ? !order.descending : "descending" === head.dataset.first;
      order.column = head.dataset.column;
      draw();
    });
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }
  for (const it of Object.values(filters)) if (it) it.addEventListener("change", draw);
  // A browser may restore what was chosen before the page was loaded again.
  if (Object.values(filters).some((it) => it && !it.selectedOptions[0].defaultSelected)) draw();
})();
