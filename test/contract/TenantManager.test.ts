import { inMemory } from "./inMemory.ts"
import { onPostgres } from "./onPostgres.ts"
import { tenantManagerContract } from "./tenantManagerContract.ts"

tenantManagerContract(inMemory)
tenantManagerContract(onPostgres)
