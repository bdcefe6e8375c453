"""How an adapter is learned; `recipes` puts it together.

Read in this order: alignment (stage 1), expansion, fusion, candidates, function_space, fitting, folds, adaptation
(stage 2), label_measure and certainty (held-out evaluation), influence, reranking, paper (the published recipe).
"""
