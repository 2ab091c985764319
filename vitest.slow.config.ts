/**
 * `npm run test:slow`: what takes minutes. Cut links, restarted servers, poolers, herds; what roles may do on the
 * oldest PostgreSQL and on the newest; upgrades, odd settings, plans and growth; and longer random histories.
 */
import config, { slow } from "./vitest.config.ts"

export default {
  ...config,
  test: {
    ...config.test,
    include: [...slow, "test/model/engine.test.ts", "test/schema/SnapshotModel.test.ts"],
    exclude: [],
    testTimeout: 120_000,
    env: { SYSTEMPLANE_MODEL_RUNS: "600", SYSTEMPLANE_SNAPSHOT_RUNS: "10000" }
  }
}
