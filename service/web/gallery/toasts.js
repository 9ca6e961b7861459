// Short messages that come and go, one of them with a way back.

const SECONDS = 8;

/** Show a message; resolves to whether its action was taken before it went. It waits while someone is at it. */
export function toast(message, action = "") {
  const element = document.querySelector("#toast-template").content.firstElementChild.cloneNode(true);
  const button = element.querySelector("button");
  element.querySelector("span").textContent = message;
  button.textContent = action;
  button.hidden = !action;
  document.querySelector("#toasts").append(element);
  return new Promise((resolve) => {
    let timer;
    const end = (taken) => {
      clearTimeout(timer);
      element.remove();
      resolve(taken);
    };
    const wait = () => clearTimeout(timer);
    const go = () => {
      clearTimeout(timer);
      timer = setTimeout(end, SECONDS * 1000, false);
    };
    button.addEventListener("click", () => end(true));
    for (const [come, leave] of [["pointerenter", "pointerleave"], ["focusin", "focusout"]]) {
      element.addEventListener(come, wait);
      element.addEventListener(leave, go);
    }
    go();
  });
}
