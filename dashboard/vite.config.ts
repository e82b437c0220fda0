import { defineConfig } from "vite";

// Everything the page needs is a file of its own beside it: the server's policy allows neither inline
// scripts and styles nor data: addresses. Addresses are relative, so the page works under any sub-path.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    outDir: process.env.DASHBOARD_OUT ?? "../src/air_executor/web/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
