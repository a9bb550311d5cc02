// Runs before the first paint, so that a chosen theme and a closed sidebar never flash.
try {
  const root = document.documentElement;
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (localStorage.getItem("sidebar") === "closed") root.dataset.sidebar = "closed";
} catch {
  // A browser that keeps nothing for this page shows it as the system does.
}
