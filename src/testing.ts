/**
 * The plane without a database, for tests: `SystemplaneMemory`, and the driver that writes as another process does and
 * breaks connections. No entry of the package but this one exports them.
 *
 * @since 0.1.0
 */
export { SystemplaneMemory, type SystemplaneMemoryOptions } from "./layers/SystemplaneMemory.ts"
export * from "./services/MemoryDriver.ts"
