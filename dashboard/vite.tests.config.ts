import { defineConfig } from "vite";

// Bundles the unit tests for Node, so that they run on versions that cannot read TypeScript themselves.
export default defineConfig({
  publicDir: false,
  build: {
    ssr: "tests/all.ts",
    outDir: "node_modules/.unit-tests",
    emptyOutDir: true,
    minify: false,
  },
});
