/** `npm run test:slow`: what takes minutes. */
import config from "./vitest.config.ts"

export default {
  ...config,
  test: {
    ...config.test,
    include: ["test/faults/Herd.test.ts", "test/model/engine.test.ts"],
    exclude: [],
    env: { SYSTEMPLANE_MODEL_RUNS: "600" }
  }
}
