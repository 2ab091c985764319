/** `npm run test:slow`: what takes minutes. */
import config from "./vitest.config.ts"

export default {
  ...config,
  test: {
    ...config.test,
    include: ["test/faults/Herd.test.ts", "test/model/engine.test.ts", "test/schema/SnapshotModel.test.ts"],
    exclude: [],
    testTimeout: 120_000,
    env: { SYSTEMPLANE_MODEL_RUNS: "600", SYSTEMPLANE_SNAPSHOT_RUNS: "10000" }
  }
}
