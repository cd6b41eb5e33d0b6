/** The page itself; `addressOf` answers the relative address of an asset. */
export const pageHtml = (addressOf: (name: string) => string): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>NanoBanana API reference</title>
    <link rel="icon" type="image/svg+xml" href="${addressOf('icon.svg')}">
    <link rel="stylesheet" href="${addressOf('swagger-ui.css')}">
    <link rel="stylesheet" href="${addressOf('page.css')}">
    <script defer src="${addressOf('swagger-ui.js')}"></script>
    <script type="module" src="${addressOf('page.js')}"></script>
  </head>
  <body>
    <header class="bar">
      <img src="${addressOf('icon.svg')}" alt="" width="24" height="24">
      <strong>API reference</strong>
      <a href="openapi.json">openapi.json</a>
    </header>
    <main id="reference">
      <p class="note">Loading…</p>
      <noscript><p class="note">This page needs JavaScript. <a href="openapi.json">openapi.json</a> has all of it.</p></noscript>
    </main>
  </body>
</html>
`

/** Tries go to where the page came from, not to the address in the document, which may be another origin. */
export const SCRIPT = `const dark = matchMedia('(prefers-color-scheme: dark)')
const followTheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', followTheme)
followTheme()

try {
  const response = await fetch('openapi.json')
  if (!response.ok) throw new Error('openapi.json answered ' + response.status)
  const spec = await response.json()
  spec.servers = [{ url: new URL('.', location.href).href.replace(/\\/$/, '') }]
  SwaggerUIBundle({
    spec,
    dom_id: '#reference',
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
    persistAuthorization: false,
    queryConfigEnabled: false,
  })
} catch (error) {
  const note = document.createElement('p')
  note.className = 'note'
  note.textContent = 'The reference cannot be shown: ' + error.message
  document.querySelector('#reference').replaceChildren(note)
}
`

export const STYLE = `:root {
  color-scheme: light dark;
  --back: #fff;
  --text: #1d2127;
  --line: #e3e5e8;
  --link: #0b62c4;
}
html.dark-mode {
  --back: #1c2022;
  --text: #e4e6e6;
  --line: #383e42;
  --link: #7cb8ff;
}
body {
  margin: 0;
  background: var(--back);
  color: var(--text);
  font: 16px/1.5 system-ui, sans-serif;
}
.bar {
  position: sticky;
  top: 0;
  z-index: 2;
  display: flex;
  align-items: center;
  gap: 10px;
  padding: 10px max(20px, calc((100% - 1120px) / 2));
  border-bottom: 1px solid var(--line);
  background: var(--back);
}
.bar a { margin-left: auto; }
.bar a, .note a { color: var(--link); }
.note { margin: 40px 20px; text-align: center; }

.swagger-ui, .swagger-ui :is(
  .info :is(.title, p, li, a), .opblock-tag, .opblock .opblock-summary-description,
  .opblock .opblock-section-header > label, .opblock .opblock-section-header h4,
  .btn, select, label, table thead tr :is(td, th), .response-col_status, .tab li,
  .parameter__name, .parameter__type, .markdown p, .renderedMarkdown p
) { font-family: system-ui, sans-serif; }
.swagger-ui .wrapper { max-width: 1160px; }
.swagger-ui .info { margin: 32px 0 24px; }
.swagger-ui .scheme-container { margin: 0 0 16px; padding: 8px 0 24px; box-shadow: none; border-bottom: 1px solid var(--line); background: none; }
.swagger-ui .opblock, .swagger-ui .opblock-tag { scroll-margin-top: 56px; }
.swagger-ui .response-col_links { display: none; }
.swagger-ui .scheme-container .schemes { flex-wrap: wrap; gap: 12px; }
@media (max-width: 640px) {
  .swagger-ui .info .title { font-size: 28px; }
  .swagger-ui .wrapper { padding: 0 12px; }
  .swagger-ui .opblock .opblock-section-header { flex-wrap: wrap; gap: 8px; padding: 8px 12px; }
  .swagger-ui .opblock .opblock-section-header .btn { padding: 5px 14px; margin-right: 0; }
  .swagger-ui .opblock .opblock-summary-method { min-width: 64px; font-size: 12px; }
}
`

export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
  <path fill="#f7c52b" d="M23 2c7 10 3 25-13 27-4 .5-7-1-8-3 11 1 19-7 18-23z"/>
  <path fill="none" stroke="#b98a0a" stroke-width="1.5" stroke-linecap="round" d="M24 6c3 11-4 20-15 20.500"/>
  <path fill="#6b4e1d" d="M19.500 1h4l.500 3.500-4 .500zM1.500 25l2 3.500-1.500 1-1.500-3z"/>
</svg>
`
