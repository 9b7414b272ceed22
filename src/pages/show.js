for (const button of document.querySelectorAll("button[data-shows]")) {
  const field = document.getElementById(button.dataset.shows);
  const set = (type) => {
    field.type = type;
    button.textContent = type === "text" ? "Hide" : "Show";
    button.setAttribute("aria-label", type === "text" ? "Hide password" : "Show password");
  };
  set("password");
  button.hidden = false;
  button.addEventListener("click", () => set(field.type === "password" ? "text" : "password"));
  field.form.addEventListener("submit", () => set("password"));
}
