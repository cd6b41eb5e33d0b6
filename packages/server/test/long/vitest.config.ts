import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

// What asserts megabytes and milliseconds; nothing else may run beside it.
export default defineConfig({
  root: join(import.meta.dirname, '../../../..'),
  resolve: { conditions: ['source'] },
  test: {
    include: ['packages/*/test/long/**/*.long.ts'],
    fileParallelism: false,
    disableConsoleIntercept: true,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
})
