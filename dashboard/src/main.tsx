import { render } from "preact";
import { App } from "./app.tsx";
import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/controls.css";
import "./styles/views.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
