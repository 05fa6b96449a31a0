// The command box: suggestions from the server's own catalogue, history on the arrow keys.

import { element } from "./markdown.js";
import { displayName } from "./team.js";

const MOST_SUGGESTIONS = 8;
const HISTORY_KEPT = 50;
const byId = (id) => document.getElementById(id);

export class Composer {
  #catalogue = [];
  #matches = [];
  #chosen = -1;
  #history = JSON.parse(sessionStorage.getItem("history") ?? "[]");
  #back = 0;

  /** @param agents gives the agents by now, @param send takes a finished line. */
  constructor({ agents, send }) {
    this.agents = agents;
    this.send = send;
    this.line = byId("line");
    this.line.addEventListener("input", () => this.#suggest());
    this.line.addEventListener("focus", () => this.line.value && this.#suggest());
    this.line.addEventListener("blur", () => this.#close());
    this.line.addEventListener("keydown", (event) => this.#key(event));
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, dialog");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.fill("/");
      }
    });
  }

  learn(catalogue) {
    this.#catalogue = catalogue;
  }

  fill(text) {
    this.line.value = text;
    this.line.focus();
    this.#suggest();
  }

  #submit() {
    const line = this.line.value.trim();
    if (!line) return;
    this.#history = [line, ...this.#history.filter((old) => old !== line)].slice(0, HISTORY_KEPT);
    sessionStorage.setItem("history", JSON.stringify(this.#history));
    this.#back = 0;
    this.line.value = "";
    this.#close();
    this.send(line);
  }

  #candidates(text) {
    const ask = /^\/ask\s+(\S*)$/.exec(text) ?? /^@(\S*)$/.exec(text);
    if (ask) {
      const lead = text.startsWith("@") ? "@" : "/ask ";
      return this.agents()
        .filter(({ name }) => name.startsWith(ask[1].toLowerCase()))
        .map(({ name }) => ({ fill: `${lead}${name} `, title: name, help: `ask ${displayName(name)}` }));
    }
    if (!text.startsWith("/")) return [];
    const typed = text.slice(1).toLowerCase();
    const fits = this.#catalogue.filter(({ name }) => name.startsWith(typed) || typed.startsWith(`${name} `));
    const loosely = this.#catalogue.filter((entry) => !fits.includes(entry) && typed && entry.name.includes(typed));
    return [...fits, ...loosely].map(({ name, usage, help }) => ({
      fill: usage === `/${name}` ? usage : `/${name} `,
      title: usage,
      help,
    }));
  }

  #suggest() {
    this.#matches = this.#candidates(this.line.value).slice(0, MOST_SUGGESTIONS);
    this.#chosen = -1;
    this.#draw();
  }

  #draw() {
    const list = byId("suggestions");
    list.hidden = !this.#matches.length;
    this.line.setAttribute("aria-expanded", String(!list.hidden));
    list.replaceChildren(
      ...this.#matches.map((match, i) => {
        const item = element("li", i === this.#chosen ? "chosen" : "", element("code", "", match.title), element("span", "", match.help));
        item.id = `suggestion-${i}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", String(i === this.#chosen));
        item.addEventListener("mousedown", (event) => {
          event.preventDefault();
          this.#accept(i);
        });
        return item;
      }),
    );
    if (this.#chosen >= 0) {
      this.line.setAttribute("aria-activedescendant", `suggestion-${this.#chosen}`);
      list.children[this.#chosen].scrollIntoView({ block: "nearest" });
    } else this.line.removeAttribute("aria-activedescendant");
  }

  #close() {
    this.#matches = [];
    this.#chosen = -1;
    this.#draw();
  }

  #accept(i) {
    this.line.value = this.#matches[i].fill;
    this.#suggest();
  }

  #recall(step) {
    const back = Math.min(Math.max(this.#back + step, 0), this.#history.length);
    if (back === this.#back) return;
    this.#back = back;
    this.line.value = back ? this.#history[back - 1] : "";
    this.#close();
  }

  #key(event) {
    const open = this.#matches.length > 0;
    const recalling = this.#back > 0 || !this.line.value;
    if (event.key === "Tab" && open && !event.shiftKey) this.#accept(Math.max(this.#chosen, 0));
    else if (event.key === "Enter" && open && this.#chosen >= 0) this.#accept(this.#chosen);
    else if (event.key === "Escape" && open) this.#close();
    else if (event.key === "ArrowUp" && recalling) this.#recall(1);
    else if (event.key === "ArrowDown" && recalling && this.#back > 0) this.#recall(-1);
    else if (event.key === "ArrowDown" && open) this.#move(1);
    else if (event.key === "ArrowUp" && open) this.#move(-1);
    else {
      if (event.key.length === 1 || event.key === "Backspace") this.#back = 0;
      return;
    }
    event.preventDefault();
  }

  #move(step) {
    const count = this.#matches.length;
    this.#chosen = (this.#chosen + step + count) % count;
    this.#draw();
  }
}
