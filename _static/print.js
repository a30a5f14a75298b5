// Paper is white: who reads in the dark prints in the light.
window.addEventListener("beforeprint", () => {
  const onScreen = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  const restore = () => (document.documentElement.dataset.theme = onScreen);
  window.addEventListener("afterprint", restore, { once: true });
});
