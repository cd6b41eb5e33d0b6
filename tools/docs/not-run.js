/** Blocks of shell that CI does not run from the pages, by the line they begin with, and why. */
export const NOT_RUN = {
  'README.md': {
    'npx -y pnpm@12 start': "the newcomer's step starts it",
    'curl -sS -w': "the newcomer's step runs these lines, on a fresh clone",
    'npx -y pnpm@12 demo': "the newcomer's step runs it",
    'npx -y pnpm@12 test': 'the suite is a step of its own',
    'GEMINI_API_KEY=… ': 'needs a key of Google',
    'curl -sS http://127.0.0.1:3000/v1/generate -H': "the newcomer's step runs it",
    'npx -y pnpm@12 install && npx -y pnpm@12 build': 'the release build is a step of its own',
  },
  'packages/sdk/README.md': {
    'npm install @nanobanana/sdk': 'the consumer installs the packed SDK',
    'nanobanana login me@example.com': 'asks for a password; its own tests run these commands',
  },
  'docs/deploy.md': {
    'DATABASE_URL=postgres://nanobanana_runtime': 'settings, no command',
    'WORKERS=16': 'does not end by itself',
  },
  'docs/openai.md': {
    'OPENAI_MODEL_MAP=': 'a setting, no command',
  },
  'docs/postgres-roles.md': {
    'nanobanana-server migrate': 'needs the roles of the page, which audit.security.test.ts makes',
  },
  'docs/quickstart.md': {
    'npx -y pnpm@12 start': "the newcomer's step starts it",
    'npm install @nanobanana/sdk': 'the consumer installs the packed SDK',
  },
  'docs/self-hosting.md': {
    'npx -y pnpm@12 install && npx -y pnpm@12 build': 'the release build is a step of its own',
    'DATABASE_URL=': 'does not end by itself; the release build is a step of its own',
    'nanobanana-server user': 'needs accounts of yours; run.slow.test.ts runs these commands',
    pg_dump: 'needs a database and a bucket of yours',
  },
  'examples/openai-client/README.md': { 'npm install': 'the step of the examples runs it' },
  'examples/webhook-receiver/README.md': {
    'curl "$URL/v1/webhooks"': 'the address is yours; the step of the examples registers its own',
    'npm install': 'the step of the examples runs it',
  },
  'examples/next-app/README.md': {
    'npm install': 'the step of the examples runs it',
    'curl -sS http://127.0.0.1:4000': 'the step of the examples asks it',
  },
}
