/** For `npm run test:versions`: all tests that run on a server that is given, also the long ones. */
import config, { ownServers } from "./vitest.config.ts"

export default { ...config, test: { ...config.test, exclude: [...ownServers, "**/node_modules/**"] } }
