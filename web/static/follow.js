// Keeps the end of the page in view while it grows, until somebody scrolls up.

const NEAR_END = 150; // pixels: while it grows, the end itself is hard to reach
const UPWARDS = new Set(["ArrowUp", "PageUp", "Home"]);

const page = document.documentElement;
let isFollowing = true;
let lastTop = 0;
let button;

/** Watches the scrolling. The button shows while the end is not followed, and scrolls there. */
export function watchScrolling(toEnd) {
  button = toEnd;
  button.addEventListener("click", scrollToEnd);
  addEventListener("scroll", () => {
    const left = page.scrollHeight - innerHeight - scrollY;
    if (scrollY < lastTop && left > 1) setFollowing(false);
    else if (scrollY > lastTop && left < NEAR_END) setFollowing(true);
    lastTop = scrollY;
  });
  // These come before the first scroll event of a smooth scrolling, which following the end would stop.
  addEventListener("wheel", ({ deltaY }) => deltaY < 0 && scrollY > 0 && setFollowing(false), { passive: true });
  addEventListener("keydown", ({ key, target }) => {
    if (target.matches("textarea, input")) return;
    if (UPWARDS.has(key) && scrollY > 0) setFollowing(false);
    else if (key === "End") scrollToEnd();
  });
  addEventListener("resize", followEnd);
}

/** Scrolls to the end, unless somebody has scrolled up. */
export function followEnd() {
  if (!isFollowing) return;
  scrollTo({ top: page.scrollHeight, behavior: "instant" });
  lastTop = scrollY;
}

export function scrollToEnd() {
  setFollowing(true);
  followEnd();
}

function setFollowing(value) {
  isFollowing = value;
  button.hidden = value;
}
