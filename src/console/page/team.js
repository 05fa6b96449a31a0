// The five agents: faces, names, what each is doing and how long ago it last moved.

import { element } from "./markdown.js";

const NAMES = {
  watcher: "Watcher",
  "domain-expert": "Domain Expert",
  developer: "Developer",
  training: "Training",
  evaluation: "Evaluation",
  ralphton: "Ralphton",
  system: "Ralphton",
  you: "You",
  operator: "You",
};
const PERSONAS = ["watcher", "domain-expert", "developer", "training", "evaluation"];
const QUIET_AFTER_MS = 3 * 60 * 1000;
const VERBS = { starting: "starting", idle: "idle", thinking: "thinking", "using-tool": "at work", waiting: "waiting for a job", stopped: "stopped" };

export const displayName = (name) => NAMES[name] ?? name;

/** Takes over how agents.toml calls the agents. */
export function learnTitles(agents) {
  for (const { name, title } of agents) NAMES[name] = title;
}

/** The picture beside a message. */
export function face(name, kind, size = 38) {
  const image = element("img", "face");
  const picture = PERSONAS.includes(name) ? name : kind === "person" ? "person" : "system";
  image.src = `/page/faces/${picture}.svg`;
  image.alt = "";
  image.width = size;
  image.height = size;
  return image;
}

const place = ({ name }) => (PERSONAS.includes(name) ? PERSONAS.indexOf(name) : PERSONAS.length);

/** "12 s", "4 min", "2 h" since a moment in milliseconds. */
export function age(sinceMs) {
  const seconds = Math.max(0, Math.round((Date.now() - sinceMs) / 1000));
  if (seconds < 5) return "now";
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export function drawTeam(list, agents, ask) {
  if (!agents.length) {
    list.replaceChildren(element("li", "none", "The team is starting…"));
    return;
  }
  const focused = document.activeElement?.dataset?.agent;
  list.replaceChildren(
    ...agents.toSorted((a, b) => place(a) - place(b)).map((agent) => {
      const quiet = !["waiting", "idle", "stopped"].includes(agent.activity) && Date.now() - agent.progress_at > QUIET_AFTER_MS;
      const picture = element("span", `presence ${agent.activity}${quiet ? " quiet" : ""}`, face(agent.name, "agent", 30));
      const doing = agent.doing || VERBS[agent.activity] || agent.activity;
      const button = element(
        "button",
        "agent",
        picture,
        element("span", "lines", element("span", `author by-${agent.name}`, displayName(agent.name)), element("span", "doing", doing)),
        element("span", "age", age(agent.progress_at)),
      );
      button.type = "button";
      button.dataset.agent = agent.name;
      button.title = `${displayName(agent.name)}: ${doing}. Last progress ${age(agent.progress_at)} ago. Click to ask.`;
      button.addEventListener("click", () => ask(agent.name));
      if (focused === agent.name) queueMicrotask(() => button.focus());
      return element("li", "", button);
    }),
  );
}
