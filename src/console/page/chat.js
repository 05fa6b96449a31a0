// The middle pane: channels with unread marks, messages grouped by author, pictures that open on a click.

import { element, markdown } from "./markdown.js";
import { displayName, face } from "./team.js";

const CHANNELS = [
  { name: "mission-control", topic: "Goals, plans, decisions; talk to the team here" },
  { name: "training", topic: "Data and training as they happen" },
  { name: "rollouts", topic: "The policy drives: success, failures, clips" },
  { name: "reports", topic: "What each loop brought and what it cost" },
];
const KEPT_PER_CHANNEL = 500;
const GROUP_MS = 5 * 60 * 1000;
const NEAR_BOTTOM_PX = 120;

const byId = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export class Chat {
  channels = CHANNELS;
  #messages = new Map(CHANNELS.map(({ name }) => [name, []]));
  #known = new Set();
  #read;
  /** Whether the newest message is in view and shall stay so while pictures load and messages come. */
  #pinned = true;
  #scrollTop = 0;

  constructor() {
    this.#read = JSON.parse(localStorage.getItem("read") ?? "{}");
    const asked = location.hash.slice(1);
    this.channel = CHANNELS.some(({ name }) => name === asked) ? asked : CHANNELS[0].name;
    byId("channels").append(
      ...CHANNELS.map(({ name }) => {
        const button = element("button", "channel", element("span", "hash", "#"), element("span", "name", name), element("span", "count"));
        button.type = "button";
        button.dataset.channel = name;
        button.addEventListener("click", () => this.show(name));
        return element("li", "", button);
      }),
    );
    byId("to-newest").addEventListener("click", () => this.#toNewest());
    byId("scroller").addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#pinned && this.#toNewest()).observe(byId("messages"));
    document.addEventListener("visibilitychange", () => this.#markRead());
    window.addEventListener("hashchange", () => {
      const name = location.hash.slice(1);
      if (name !== this.channel && this.#messages.has(name)) this.show(name);
    });
    byId("viewer").addEventListener("click", (event) => event.target === event.currentTarget && event.currentTarget.close());
    this.show(this.channel);
  }

  /** The history, once at the start. */
  load(messages) {
    for (const message of messages) this.#keep(message);
    this.show(this.channel);
  }

  /** A message from the stream; one that is known already changes nothing. */
  take(message) {
    if (!this.#keep(message)) return;
    if (message.channel === this.channel) this.#append(message);
    this.#markRead();
  }

  /** What the person typed, shown to that person alone. */
  echo(line) {
    this.#append({ id: null, local: true, author: "you", author_kind: "person", text: line, attachments: [], created_at: Date.now() });
    this.#toNewest();
  }

  /** The answer to a command, shown to that person alone. */
  reply({ text, attachments }) {
    this.#append({ id: null, local: true, author: "ralphton", author_kind: "system", text, attachments, created_at: Date.now() });
    this.#toNewest();
  }

  show(name) {
    this.channel = name;
    history.replaceState(null, "", `#${name}`);
    byId("channel-name").textContent = `# ${name}`;
    byId("channel-topic").textContent = CHANNELS.find((channel) => channel.name === name).topic;
    const list = byId("messages");
    list.replaceChildren();
    this.last = null;
    this.#pinned = true;
    const messages = this.#messages.get(name);
    if (!messages.length) list.append(emptyState(name));
    for (const message of messages) this.#append(message);
    this.#toNewest();
    this.#markRead();
  }

  #keep(message) {
    const list = this.#messages.get(message.channel);
    if (!list || this.#known.has(message.id)) return false;
    this.#known.add(message.id);
    list.push(message);
    if (list.length > KEPT_PER_CHANNEL) list.splice(0, list.length - KEPT_PER_CHANNEL);
    return true;
  }

  #append(message) {
    const list = byId("messages");
    list.querySelector(".empty")?.remove();
    const at = new Date(message.created_at);
    if (!this.last || new Date(this.last.created_at).toDateString() !== at.toDateString()) {
      list.append(element("li", "day", element("span", "", day.format(at))));
      this.last = null;
    }
    const follows = this.last && this.last.author === message.author && Boolean(this.last.local) === Boolean(message.local) &&
      at - new Date(this.last.created_at) < GROUP_MS;
    list.append(drawMessage(message, at, follows));
    while (list.children.length > KEPT_PER_CHANNEL + 40) list.firstElementChild.remove();
    this.last = message;
    if (this.#pinned) this.#toNewest();
    else byId("to-newest").hidden = false;
  }

  #nearBottom() {
    const { scrollHeight, scrollTop, clientHeight } = byId("scroller");
    return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
  }

  #toNewest() {
    const scroller = byId("scroller");
    scroller.scrollTop = scroller.scrollHeight;
    this.#pinned = true;
    byId("to-newest").hidden = true;
  }

  /** Content that grows moves nothing up: only a person does. */
  #scrolled() {
    const { scrollTop } = byId("scroller");
    if (this.#nearBottom()) {
      this.#pinned = true;
      byId("to-newest").hidden = true;
    } else if (scrollTop < this.#scrollTop - 2) this.#pinned = false;
    this.#scrollTop = scrollTop;
  }

  #markRead() {
    const newest = this.#messages.get(this.channel).at(-1)?.id ?? 0;
    if (!document.hidden && newest > (this.#read[this.channel] ?? 0)) {
      this.#read[this.channel] = newest;
      localStorage.setItem("read", JSON.stringify(this.#read));
    }
    let unread = 0;
    for (const button of document.querySelectorAll("button.channel")) {
      const name = button.dataset.channel;
      const after = this.#read[name] ?? 0;
      const count = this.#messages.get(name).filter((message) => message.id > after).length;
      unread += count;
      button.classList.toggle("unread", count > 0);
      button.setAttribute("aria-current", name === this.channel ? "page" : "false");
      button.setAttribute("aria-label", count ? `${name}, ${count} unread` : name);
      button.querySelector(".count").textContent = count ? String(Math.min(count, 99)) : "";
    }
    byId("open-rail").classList.toggle("unread", unread > 0);
    document.title = unread ? `(${unread}) Ralphton` : "Ralphton";
  }
}

function drawMessage(message, at, follows) {
  const kind = message.author_kind;
  const item = element("li", `message ${kind}${follows ? " follows" : ""}${message.local ? " local" : ""}`);
  const time = element("time", "", clock.format(at));
  time.dateTime = at.toISOString();
  time.title = full.format(at);
  if (follows) item.append(time);
  else item.append(face(message.author, kind));
  const body = element("div", "body");
  if (!follows) {
    const head = element("div", "head", element("span", `author by-${message.author}`, displayName(message.author)));
    if (message.brain === "playbook") {
      const tag = element("span", "tag", "playbook");
      tag.title = "Written by the playbook's rules, not by a language model";
      head.append(tag);
    }
    if (message.local) head.append(element("span", "tag quiet", "only you see this"));
    head.append(time);
    body.append(head);
  }
  const text = element("div", "text");
  text.append(markdown(message.text));
  body.append(text);
  if (message.attachments.length) body.append(element("div", "attachments", ...message.attachments.map(drawAttachment)));
  item.append(body);
  return item;
}

function drawAttachment({ artifact, name, media_type, alt }) {
  const url = `/api/v1/artifacts/${encodeURIComponent(artifact)}`;
  if (!media_type.startsWith("image/")) {
    const file = element("a", "file", name);
    file.href = url;
    file.download = name;
    return file;
  }
  const image = element("img");
  image.src = url;
  image.alt = alt;
  image.decoding = "async";
  const open = element("button", "picture", image);
  open.type = "button";
  open.setAttribute("aria-label", `Enlarge: ${alt}`);
  if (media_type === "image/gif") open.classList.add("clip");
  open.addEventListener("click", () => {
    byId("viewer-image").src = url;
    byId("viewer-image").alt = alt;
    byId("viewer-caption").textContent = alt;
    byId("viewer").showModal();
  });
  return open;
}

function emptyState(channel) {
  const words = {
    "mission-control": ["The team is starting…", "In a moment the Watcher says what is planned. Begin a mission yourself with /loop start."],
    training: ["No training yet", "Loss, samples per second and canary rollouts appear here while the policy learns."],
    rollouts: ["Nobody has driven yet", "Success with its interval, failures by class and clips appear here after each evaluation."],
    reports: ["No report yet", "Each loop ends with one: what was made, what it brought, what it cost."],
  }[channel];
  return element("li", "empty", element("strong", "", words[0]), element("p", "", ...markdown(words[1]).firstChild.childNodes));
}
