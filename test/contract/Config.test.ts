import { configContract } from "./configContract.ts"
import { inMemory } from "./inMemory.ts"
import { onPostgres } from "./onPostgres.ts"

configContract(inMemory)
configContract(onPostgres)
