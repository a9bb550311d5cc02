/** Who the page calls the API as: an API key or a token that the user typed in, or a user of Entra ID. */

import * as entra from "./entra.js";
import { load, save } from "./storage.js";

const STORED = "chat.credentials";
const REFUSED = "That was not accepted. Check it and try again.";
const dialog = document.getElementById("signin");
const form = document.getElementById("signin-form");
const errorLine = document.getElementById("signin-error");
const microsoft = document.getElementById("signin-microsoft");
const signOutButton = document.getElementById("sign-out");
let waiting = null;
let renewed = null;

/** Return the headers that tell the API who is calling. */
export async function credentialHeaders() {
  const given = typedIn();
  if (given) {
    if (given.secret.split(".").length === 3) return bearer(given.secret);
    return given.user ? { "X-API-Key": given.secret, "X-User-Id": given.user } : { "X-API-Key": given.secret };
  }
  const token = await entra.accessToken();
  return token ? bearer(token) : {};
}

/**
 * Ask for credentials, once for all who wait; resolves when there are new ones.
 *
 * @param {Record<string, string>} refused the headers that the API did not accept
 */
export async function signIn(refused) {
  // Somebody else's question may have been answered meanwhile.
  if (JSON.stringify(await credentialHeaders()) !== JSON.stringify(refused)) return;
  waiting ??= renewOrAsk(refused).finally(() => (waiting = null));
  await waiting;
}

/** Get a new token in place of one that has expired or was revoked; ask the user where that does not help. */
async function renewOrAsk(refused) {
  if (refused.Authorization && refused.Authorization !== renewed && !typedIn() && entra.isInUse()) {
    const token = await entra.accessToken({ renew: true });
    if (token) {
      renewed = `Bearer ${token}`;
      return;
    }
  }
  await ask(Object.keys(refused).length > 0);
}

function bearer(token) {
  return { Authorization: `Bearer ${token}` };
}

function typedIn() {
  try {
    return JSON.parse(load(STORED, "sessionStorage"));
  } catch {
    return null;
  }
}

async function ask(wereRefused) {
  const offered = await entra.offer();
  errorLine.textContent = entra.takeFailure() || (wereRefused ? REFUSED : "");
  document.getElementById("signin-entra").hidden = !offered;
  microsoft.onclick = () => signInWithMicrosoft(offered, wereRefused);
  if (!dialog.open) dialog.showModal();
  (offered ? microsoft : form.elements.secret).focus();
  await new Promise((resolve) => {
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        const secret = form.elements.secret.value.trim().replace(/^Bearer /i, "");
        save(STORED, JSON.stringify({ secret, user: form.elements.user.value.trim() }), "sessionStorage");
        form.reset();
        dialog.close();
        showSignOut();
        resolve();
      },
      { once: true },
    );
  });
}

async function signInWithMicrosoft(offered, another) {
  microsoft.disabled = true;
  try {
    await entra.begin(offered, { another });
  } catch {
    errorLine.textContent = "Signing in could not be started. Check your connection and try again.";
    microsoft.disabled = false;
  }
}

function showSignOut() {
  signOutButton.hidden = typedIn() === null && !entra.isInUse();
}

// Without credentials there is nothing behind the dialog to go back to.
dialog.addEventListener("cancel", (event) => event.preventDefault());
signOutButton.addEventListener("click", () => {
  if (typedIn() === null) return entra.end();
  save(STORED, null, "sessionStorage");
  location.replace(location.pathname);
});
showSignOut();
