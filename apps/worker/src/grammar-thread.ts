/** Entry of the thread that follows the grammars of constrained answers; the worker's `GrammarHost` starts it. */
import { serveGrammars } from '@deos/engine/grammar'

serveGrammars()
