// What is asked once: who uploads, with which tags and title; and a token, where the service wants one.

import { identity } from "./identity.js";
import { split } from "./words.js";

const uploader = document.querySelector("#uploader");
const signIn = document.querySelector("#sign-in");

/** Resolve once a dialog was closed, to whether it was confirmed. */
function asked(dialog) {
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    let confirmed = false;
    form.onsubmit = (event) => {
      event.preventDefault();
      confirmed = true;
      dialog.close();
    };
    dialog.querySelector(".cancel").onclick = () => dialog.close();
    dialog.addEventListener("close", () => resolve(confirmed), { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

/** Ask who uploads and what goes for all their files; resolves to whether that is known. */
export async function askUploader() {
  const { user_id: user } = uploader.querySelector("form").elements;
  const signedIn = Boolean(identity.token);
  uploader.querySelector("#uploader-user").hidden = signedIn;
  uploader.querySelector("#uploader-visibility").hidden = !signedIn;
  user.required = !signedIn;
  user.value ||= identity.user; // what was typed before Escape is still there
  const confirmed = await asked(uploader);
  if (confirmed && !signedIn) identity.user = user.value.trim();
  return confirmed;
}

/** Return what goes for every file. */
export function defaults() {
  const { title, tags, visibility } = uploader.querySelector("form").elements;
  return {
    title: title.value.trim(),
    tags: split(tags.value),
    ...(identity.token && { visibility: visibility.value }),
  };
}

let asking = null;

/** Ask for a token; however many want one at once, it is asked for once. Resolves to whether there is one. */
export function askToken(reason) {
  asking ??= token(reason).finally(() => (asking = null));
  return asking;
}

async function token(reason) {
  const { token: field } = signIn.querySelector("form").elements;
  signIn.querySelector("#why").textContent = identity.token ? reason.message : "This server requires a token.";
  field.value = "";
  const confirmed = await asked(signIn);
  if (confirmed) identity.token = field.value.trim();
  return confirmed;
}
