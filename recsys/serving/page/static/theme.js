// Before the first paint: the theme that was chosen here last. "system" leaves it to the device.
try {
  const theme = localStorage.getItem("theme");
  if (theme === '"light"' || theme === '"dark"') document.documentElement.dataset.theme = JSON.parse(theme);
} catch { /* storage may be forbidden: the device's theme it is */ }
