import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const root = join(import.meta.dirname, '../..')
const shared = join(root, 'packages/shared/src')

// Clients of others against the real service; they are installed in tools/, not in the workspace.
export default defineConfig({
  root,
  resolve: {
    // Not by the condition `source`, under which a package of theirs ships TypeScript too.
    alias: {
      '@nanobanana/shared/base64': join(shared, 'base64.ts'),
      '@nanobanana/shared': join(shared, 'index.ts'),
    },
  },
  test: {
    include: ['tools/clients/**/*.test.ts'],
    globalSetup: ['packages/server/test/template.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
