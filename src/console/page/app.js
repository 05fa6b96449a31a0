// The page's state and its one connection: loads what is there, then follows the event stream and never stops trying.

import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { drawBoard, drawStrip } from "./board.js";
import { drawTeam, learnTitles } from "./team.js";

const API = "/api/v1";
const byId = (id) => document.getElementById(id);

/** JSON from the API; throws with the server's own words when it refuses. */
export async function api(path, options = {}) {
  const response = await fetch(API + path, { cache: "no-store", ...options });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

const state = { status: null, agents: [], training: null, lastId: 0, connected: false };
const chat = new Chat();
const composer = new Composer({
  agents: () => state.agents,
  send: async (line) => {
    chat.echo(line);
    try {
      const reply = await api("/command", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ line, channel: chat.channel }),
      });
      chat.reply(reply);
    } catch (error) {
      const words = error instanceof TypeError ? "Ralphton cannot be reached just now; nothing was sent." : error.message;
      chat.reply({ text: words, attachments: [] });
    }
  },
});

function redraw() {
  drawTeam(byId("team"), state.agents, (name) => composer.fill(`/ask ${name} `));
  drawBoard(byId("board"), state.status, state.training);
  drawStrip(byId("open-board"), state.status);
  const mission = state.status?.mission;
  byId("tagline").textContent = !mission ? "No mission yet" : `${mission.preset} mission · ${mission.state}`;
}

// ---- training curve: fetched while a training runs, and once for a finished one
let trainingAsked = null;
async function followTraining() {
  const job = state.status?.loops.findLast((loop) => loop.train_job)?.train_job;
  if (!job) return;
  const running = state.status.loops.at(-1)?.stage === "train";
  const key = running ? `${job}@${Math.floor(Date.now() / 3000)}` : `${job}`;
  if (key === trainingAsked) return;
  trainingAsked = key;
  try {
    state.training = await api(`/training/${job}`);
    redraw();
  } catch {
    trainingAsked = null;
  }
}

function takeAgents(agents) {
  state.agents = agents;
  learnTitles(agents);
}

function takeStatus(status) {
  state.status = status;
  redraw();
  followTraining();
}

// ---- the stream
let source = null;
let retry = 0;
let retryTimer = null;

function banner(text) {
  const node = byId("banner");
  node.hidden = !text;
  node.textContent = text ?? "";
}

function connect() {
  clearTimeout(retryTimer);
  source?.close();
  source = new EventSource(`${API}/stream?after=${state.lastId}`);
  source.onopen = () => {
    retry = 0;
    state.connected = true;
    banner(null);
  };
  source.addEventListener("message", (event) => takeMessage(JSON.parse(event.data)));
  source.addEventListener("status", (event) => takeStatus(JSON.parse(event.data)));
  source.addEventListener("agents", (event) => {
    takeAgents(JSON.parse(event.data));
    redraw();
  });
  source.onerror = () => {
    state.connected = false;
    source.close();
    banner("Reconnecting… the team works on meanwhile; nothing is lost.");
    retry = Math.min(retry + 1, 6);
    retryTimer = setTimeout(connect, Math.min(250 * 2 ** retry, 5000));
  };
}

function takeMessage(message) {
  state.lastId = Math.max(state.lastId, message.id);
  chat.take(message);
}

async function start() {
  try {
    const [status, agents, catalogue, ...histories] = await Promise.all([
      api("/status"),
      api("/agents"),
      api("/catalogue"),
      ...chat.channels.map((channel) => api(`/messages?channel=${channel.name}&limit=200`)),
    ]);
    composer.learn(catalogue);
    takeAgents(agents);
    for (const history of histories) for (const message of history) state.lastId = Math.max(state.lastId, message.id);
    chat.load(histories.flat());
    takeStatus(status);
    connect();
  } catch {
    banner("Waiting for Ralphton…");
    setTimeout(start, 1500);
  }
}

// ---- drawers on narrow screens
function drawer(button, pane) {
  const set = (open) => {
    pane.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
    byId("veil").hidden = !document.querySelector("#rail.open, #board.open");
  };
  button.addEventListener("click", () => set(!pane.classList.contains("open")));
  byId("veil").addEventListener("click", () => set(false));
  document.addEventListener("keydown", (event) => event.key === "Escape" && set(false));
  pane.addEventListener("click", (event) => event.target.closest("button") && set(false));
}
drawer(byId("open-rail"), byId("rail"));
drawer(byId("open-board"), byId("board"));

redraw();
setInterval(redraw, 5000);
document.addEventListener("visibilitychange", () => !document.hidden && !state.connected && connect());
start();
