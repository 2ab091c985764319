import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("src/", import.meta.url))

/** What starts servers of its own. */
export const ownServers = ["test/faults/**/*.test.ts", "test/postgres/Rights.test.ts"]

/** What `npm run test:slow` runs, and `npm test` does not. */
export const slow = [
  ...ownServers,
  "test/memory/Growth.test.ts",
  "test/plane/{BadRows,Encodings,ReadThrough,Remade}.test.ts",
  "test/postgres/{CatalogDigest,CursorDiff,DigestDiff,HistoryPlans,Settings,Upgrade}.test.ts"
]

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-systemplane$/, replacement: `${src}index.ts` },
      { find: /^effect-systemplane\/(\w+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    exclude: [...slow, "**/node_modules/**"],
    globalSetup: ["test/support/globalSetup.ts"],
    reporters: ["default", "./dev/summaryReporter.ts"],
    // Most tests wait for PostgreSQL: two files at once, in workers that are started once.
    maxWorkers: 2,
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 30_000
  }
})
