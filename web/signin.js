/** Who the page calls the API as: an API key or a token that the user typed in, kept for this tab's session only. */

const STORED = "chat.credentials";
const dialog = document.getElementById("signin");
const form = document.getElementById("signin-form");
const signOutButton = document.getElementById("sign-out");
let waiting = null;

/** Return the headers that tell the API who is calling. */
export function credentialHeaders() {
  const given = read();
  if (!given) return {};
  if (given.secret.split(".").length === 3) return { Authorization: `Bearer ${given.secret}` };
  return given.user ? { "X-API-Key": given.secret, "X-User-Id": given.user } : { "X-API-Key": given.secret };
}

/**
 * Ask for credentials, once for all who wait; resolves when there are new ones.
 *
 * @param {Record<string, string>} refused the headers that the API did not accept
 */
export function signIn(refused) {
  // Somebody else's question may have been answered meanwhile.
  if (JSON.stringify(credentialHeaders()) !== JSON.stringify(refused)) return Promise.resolve();
  waiting ??= ask(Object.keys(refused).length > 0).finally(() => (waiting = null));
  return waiting;
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED));
  } catch {
    return null;
  }
}

function ask(wereRefused) {
  document.getElementById("signin-error").textContent = wereRefused ? "That was not accepted. Check it and try again." : "";
  if (!dialog.open) dialog.showModal();
  form.elements.secret.focus();
  return new Promise((resolve) => {
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        const secret = form.elements.secret.value.trim().replace(/^Bearer /i, "");
        sessionStorage.setItem(STORED, JSON.stringify({ secret, user: form.elements.user.value.trim() }));
        form.reset();
        dialog.close();
        showSignOut();
        resolve();
      },
      { once: true },
    );
  });
}

function showSignOut() {
  signOutButton.hidden = read() === null;
}

// Without credentials there is nothing behind the dialog to go back to.
dialog.addEventListener("cancel", (event) => event.preventDefault());
signOutButton.addEventListener("click", () => {
  sessionStorage.removeItem(STORED);
  location.replace(location.pathname);
});
showSignOut();
