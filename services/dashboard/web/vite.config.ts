import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// In development the house answers through its edge: LARES_DEV_TARGET names where that is.
const target = process.env.LARES_DEV_TARGET ?? "https://localhost";
const forward = { target, changeOrigin: false, secure: false };

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // Browsers that know light-dark() themselves; otherwise each colour would be written out three times.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The content policy allows no inline or data: scripts and styles, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The budget test reads it to tell the shell from the routes.
    manifest: true,
  },
  server: {
    proxy: { "/api": forward, "/auth": forward, "/_allauth": forward },
  },
});
