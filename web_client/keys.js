/* Single-key shortcuts and the dialog that lists them. They can be switched off there (WCAG 2.1.4),
 * and never fire while a text field has the focus or a modifier is held. */

const STORE_KEY = "reenactd.keys";

/**
 * @param {{keys: string, says: string, act: (key: string) => void}[]} table
 *   `keys`: each character is one key; shown as first–last when there are several
 */
export function installKeys(table) {
  const byId = (id) => document.getElementById(id);
  const dialog = byId("help");
  const toggle = byId("keys-on");
  const openHelp = () => (dialog.open ? dialog.close() : dialog.showModal());
  const rows = [...table, { keys: "?", says: "This list", act: openHelp }];

  for (const { keys, says } of rows) {
    const shown = keys.length > 1 ? `${keys[0]}–${keys.at(-1)}` : keys.toUpperCase();
    const term = document.createElement("dt");
    term.append(Object.assign(document.createElement("kbd"), { textContent: shown }));
    byId("keys").append(term, Object.assign(document.createElement("dd"), { textContent: says }));
  }
  byId("help-button").addEventListener("click", openHelp);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  toggle.checked = localStorage.getItem(STORE_KEY) !== "off";
  toggle.addEventListener("change", () =>
    localStorage.setItem(STORE_KEY, toggle.checked ? "on" : "off"),
  );

  document.addEventListener("keydown", (event) => {
    if (!toggle.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.matches("input[type=text], select, textarea")) return;
    const key = event.key.toLowerCase();
    const row = rows.find(({ keys }) => key.length === 1 && keys.includes(key));
    const open = document.querySelector("dialog[open]");
    if (!row || (open && (open !== dialog || row.keys !== "?"))) return;
    event.preventDefault();
    row.act(key);
  });
}
