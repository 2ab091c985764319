import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("src/", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-systemplane$/, replacement: `${src}index.ts` },
      { find: /^effect-systemplane\/(\w+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // See vitest.slow.config.ts.
    exclude: ["test/faults/**", "test/postgres/Rights.test.ts", "**/node_modules/**"],
    globalSetup: ["test/support/globalSetup.ts"],
    reporters: ["default", "./dev/summaryReporter.ts"],
    // Most tests wait for PostgreSQL: two files at once, in workers that are started once.
    maxWorkers: 2,
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 30_000
  }
})
