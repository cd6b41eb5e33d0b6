import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// Many tests wait for timers, a database or other processes, so a small machine takes one more than it has
// cores; a large one leaves one core to those.
const maxWorkers = Math.max(3, availableParallelism() - 1)

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'module-sync', 'default'] } },
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'scripts/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/*.slow.test.ts'],
    globalSetup: ['packages/server/test/template.ts'],
    maxWorkers,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    typecheck: {
      enabled: true,
      include: ['packages/*/{src,test}/**/*.test-d.ts'],
      tsconfig: 'tsconfig.json',
    },
  },
})
