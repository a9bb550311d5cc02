/** The chat page: puts its parts together. The open thread is the address's fragment, so that a reload comes back to it. */

import { getInfo, getThread } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { AutoScroll } from "./scroll.js";
import { Sidebar, setUpTheme } from "./sidebar.js";
import { broadcast, onRemoteChange } from "./tabs.js";
import { ThreadList } from "./threads.js";
import { showToast } from "./toasts.js";
import { modelLine, threadTitle } from "./format.js";

const $ = (id) => document.getElementById(id);
const scroll = new AutoScroll($("scroller"), $("column"), $("jump"));
const conversation = new Conversation(scroll);
const threads = new ThreadList();
const sidebar = new Sidebar();
const composer = new Composer({
  onSend: (text) => {
    scroll.toEnd();
    conversation.send(text);
  },
  onStop: () => conversation.stop(),
});
let thread = null;

function threadOfAddress() {
  const id = location.hash.slice(1);
  return /^thread_\w{1,64}$/.test(id) ? id : null;
}

async function openFromAddress() {
  const id = threadOfAddress();
  thread = id && threads.find(id);
  threads.setCurrent(id);
  composer.setThread(id);
  showTitle();
  sidebar.closeDrawer();
  composer.focus();
  await conversation.open(id);
  await readThread();
}

/** Read the open thread itself where the list does not have it. */
async function readThread() {
  const id = conversation.threadId;
  if (!id || threads.find(id)) return showThread();
  const found = await getThread(id).catch(() => null);
  if (conversation.threadId !== id) return;
  thread = found;
  showTitle();
}

function showThread() {
  thread = threads.find(conversation.threadId) ?? thread;
  showTitle();
}

function showTitle() {
  const title = thread ? threadTitle(thread) : conversation.threadId ? "" : "New conversation";
  $("title").textContent = title;
  $("thread-menu").hidden = !thread;
  document.title = [thread && title, document.documentElement.dataset.name].filter(Boolean).join(" · ");
}

function showAsking() {
  $("asking").textContent = conversation.asks ? "A new message refuses what is asked above." : "";
}

function startNew() {
  if (location.hash) location.hash = "";
  else openFromAddress();
  sidebar.closeDrawer();
  $("input").focus();
}

conversation.addEventListener("thread", ({ detail }) => {
  thread = detail;
  // Not a navigation: the conversation on the screen is that thread now.
  history.pushState(null, "", `#${detail.id}`);
  composer.setThread(detail.id);
  threads.current = detail.id;
  threads.add(detail);
  showTitle();
});
conversation.addEventListener("busy", () => {
  composer.setBusy(conversation.busy);
  showAsking();
});
conversation.addEventListener("asks", showAsking);
conversation.addEventListener("turn", ({ detail }) => {
  broadcast(detail);
  threads.refresh();
});
conversation.addEventListener("refused", ({ detail }) => {
  if (!composer.text) composer.text = detail;
  showToast("This conversation is still answering an earlier message. Yours is back in the message box.");
});
conversation.addEventListener("connection", ({ detail: connected }) => {
  $("connection").textContent = connected ? "" : "Connection lost. Reconnecting…";
});
threads.addEventListener("change", showThread);
threads.addEventListener("left", ({ detail }) => detail === conversation.threadId && startNew());
onRemoteChange((threadId, maybe) => {
  threads.refresh();
  if (maybe || threadId === conversation.threadId) conversation.catchUp();
});

addEventListener("hashchange", openFromAddress);
$("threads").addEventListener("click", (event) => event.target.closest("a") && sidebar.closeDrawer());
$("new-chat").addEventListener("click", startNew);
$("new-chat-phone").addEventListener("click", startNew);
$("skip").addEventListener("click", () => $("input").focus());
$("thread-menu").addEventListener("click", () => threads.openMenu($("thread-menu"), thread, $("title")));
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    conversation.send(example.textContent.trim());
    composer.focus();
  });
}
setUpTheme($("theme"));
openFromAddress();
threads.show("active");
getInfo()
  .then((info) => ($("model").textContent = modelLine(info)))
  .catch(() => {});
