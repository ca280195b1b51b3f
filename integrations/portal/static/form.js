// The choices and the range of a field follow what was chosen in others, by the rules that the page carries; and
// "none" of a list goes with nothing else. What is sent is judged by the server, with or without this.
const amount = (number) => String(Math.round(number * 1000) / 1000);

for (const pet of document.querySelectorAll("[data-rules]")) {
  const rules = JSON.parse(pet.dataset.rules);
  const fields = new Map([...pet.querySelectorAll("[data-name]")].map((field) => [field.dataset.name, field]));

  const said = (name) => {
    const field = fields.get(name);
    if (!field) return "";
    const chosen = field.querySelector("input[type=radio]:checked");
    return chosen ? chosen.value : (field.querySelector("select") || {}).value || "";
  };
  const holds = (rule) =>
    Object.entries(rule.if).every(([name, codes]) => codes.some((code) => String(code) === said(name)));

  // a list is rebuilt from what it held at first: phones show hidden options all the same
  const lists = new Map();
  for (const [name, field] of fields) {
    const list = field.querySelector("select");
    if (list) lists.set(name, [...list.children].map((child) => child.cloneNode(true)));
  }
  const narrow = (name, allowed) => {
    const list = fields.get(name).querySelector("select");
    if (!list) return;
    const before = list.value;
    const fits = (option) => option.value === "" || !allowed || allowed.has(option.value);
    const left = lists.get(name).map((child) => child.cloneNode(true)).filter((child) => {
      if (child.tagName === "OPTION") return fits(child);
      [...child.children].filter((option) => !fits(option)).forEach((option) => option.remove());
      return child.children.length > 0;
    });
    list.replaceChildren(...left);
    list.value = [...list.options].some((option) => option.value === before) ? before : "";
  };

  const follow = () => {
    for (const name of lists.keys()) {
      const enums = rules.filter((rule) => holds(rule) && (rule.then[name] || {}).enum).map((rule) => rule.then[name].enum);
      const narrowed = enums.length ? new Set(enums.reduce((one, other) => one.filter((code) => other.includes(code)))) : null;
      if (rules.some((rule) => (rule.then[name] || {}).enum)) narrow(name, narrowed);
    }
    for (const [name, field] of fields) {
      const hint = field.querySelector("[data-range]");
      if (!hint) continue;
      let low = Number(field.dataset.low), high = Number(field.dataset.high);
      for (const rule of rules.filter(holds)) {
        const limit = rule.then[name] || {};
        if (limit.minimum !== undefined) low = Math.max(low, limit.minimum);
        if (limit.maximum !== undefined) high = Math.min(high, limit.maximum);
      }
      hint.textContent = hint.dataset.range
        .replace("{low}", amount(low)).replace("{high}", amount(high)).replace("{unit}", hint.dataset.unit).trim();
    }
  };

  pet.addEventListener("change", (event) => {
    const group = event.target.closest(".field");
    const none = group && group.querySelector("[data-none]");
    if (none && none.checked) {
      const others = [...group.querySelectorAll("input")].filter((input) => input !== none);
      if (event.target === none) others.forEach((input) => (input.type === "checkbox" ? (input.checked = false) : (input.value = "")));
      else none.checked = false;
    }
    follow();
  });
  follow();
}
const first = document.querySelector(".field.wrong");
if (first) first.scrollIntoView({ block: "center" });
