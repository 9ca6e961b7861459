// Who looks at the page: whom a token names, or else whoever they say they are.

const TOKEN = "pixdepot.token";
const USER = "pixdepot.user";

export const identity = {
  get token() {
    return sessionStorage.getItem(TOKEN) ?? "";
  },
  set token(value) {
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  },
  /** The user's id; empty as long as nobody has said it. */
  get user() {
    return subject(this.token) || (localStorage.getItem(USER) ?? "");
  },
  set user(value) {
    localStorage.setItem(USER, value);
  },
};

/** Return whom a token is about. Only the service can tell whether that is true. */
function subject(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (each) => each.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub ?? "";
  } catch {
    return "";
  }
}
