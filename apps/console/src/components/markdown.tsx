import { memo } from 'react'
import ReactMarkdown from 'react-markdown'

/**
 * What a model wrote. Raw HTML stays text, addresses are limited to harmless kinds, and pictures, which would tell
 * other servers that the page is read, become their description. Its headings are below those of the page.
 */
export const Markdown = memo(function Markdown({ text }: { readonly text: string }) {
  return (
    <div className="prose min-w-0 break-words">
      <ReactMarkdown
        components={{
          h1: 'h3',
          h2: 'h4',
          h3: 'h5',
          h4: 'h6',
          h5: 'h6',
          img: ({ alt }) => <span>[{alt || 'picture'}]</span>,
          a: ({ href, children }) => (
            <a href={href} target="_blank" rel="noopener noreferrer nofollow">
              {children}
            </a>
          ),
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          pre: ({ children }) => <pre tabIndex={0}>{children}</pre>,
        }}
      >
        {text}
      </ReactMarkdown>
    </div>
  )
})
