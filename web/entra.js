/**
 * Signing in with Entra ID: authorization code with PKCE, by MSAL. Its 300 KB are loaded only in a tab in which somebody signs in.
 *
 * Tokens are kept for this tab's session, as an API key is. They are renewed with the refresh token only: no hidden frames, which
 * this page's policy forbids. When that ends (after a day), the user signs in again, mostly without a password.
 */

import { load, save } from "./storage.js";

const STORED = "chat.entra";
let opening = null;
let failure = "";

/** Whether somebody has begun to sign in in this tab. */
export function isInUse() {
  return load(STORED, "sessionStorage") !== null;
}

/** Return how to sign in, or `null` where the API has no sign-in for its users. */
export async function offer() {
  try {
    const response = await fetch(new URL("api/sign-in", document.baseURI));
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** Return why the last attempt has failed, once. */
export function takeFailure() {
  const text = failure;
  failure = "";
  return text;
}

/** Leave the page for the authority's; `another` lets the user choose an account. Never resolves if all is well. */
export async function begin(offered, { another = false } = {}) {
  save(STORED, JSON.stringify(offered), "sessionStorage");
  const client = await open();
  await client.loginRedirect({ scopes: [offered.scope], ...(another ? { prompt: "select_account" } : {}) });
  return new Promise(() => {});
}

/** Return an access token, `null` if nobody is signed in; with `renew`, one that has just been issued. */
export async function accessToken({ renew = false } = {}) {
  if (!isInUse()) return null;
  try {
    const client = await open();
    const account = client.getActiveAccount();
    if (!account) return null;
    const found = await client.acquireTokenSilent({
      account,
      scopes: [stored().scope],
      forceRefresh: renew,
      cacheLookupPolicy: globalThis.msal.CacheLookupPolicy[renew ? "RefreshToken" : "AccessTokenAndRefreshToken"],
    });
    return found.accessToken;
  } catch (error) {
    if (!(error instanceof globalThis.msal.InteractionRequiredAuthError)) failure = describe(error);
    return null;
  }
}

/** Sign out here and at the authority. Never resolves if all is well. */
export async function end() {
  const client = await open();
  const account = client.getActiveAccount();
  save(STORED, null, "sessionStorage");
  await client.logoutRedirect({ account, postLogoutRedirectUri: pageAddress() });
  return new Promise(() => {});
}

function stored() {
  return JSON.parse(load(STORED, "sessionStorage"));
}

function pageAddress() {
  return new URL(".", document.baseURI).href;
}

function describe(error) {
  return `Signing in did not work: ${String(error.errorMessage || error.message).slice(0, 300)}`;
}

function open() {
  opening ??= openMsal();
  return opening;
}

/** Load MSAL, and finish what the authority has sent the browser back with. */
async function openMsal() {
  await import("./vendor/msal-browser.min.js");
  const { authority, client_id: clientId } = stored();
  const client = new globalThis.msal.PublicClientApplication({
    auth: { authority, clientId, redirectUri: pageAddress(), knownAuthorities: [new URL(authority).host] },
    cache: { cacheLocation: "sessionStorage" },
  });
  await client.initialize();
  try {
    const result = await client.handleRedirectPromise();
    if (result) client.setActiveAccount(result.account);
  } catch (error) {
    failure = describe(error);
  }
  if (!client.getActiveAccount()) client.setActiveAccount(client.getAllAccounts()[0] ?? null);
  return client;
}
