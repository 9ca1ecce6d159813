"""Search over the live index: a query in, a ranked and explained result out.

    finder        answers a query; the files below in the order in which it calls them
    query         what a query asks for and what a result holds
    live_index    the live collection with its encoder, images and autocomplete; follows the alias
    query_vector  from products, text and images to the vectors that are looked for
    candidates    enough of the nearest products that the ranking is final
    rank          rules, collapsed variants, diversity: plain values in, an order out
    explain       the result, with shared attributes and what rules did
    autocomplete  products by id and words, as one types

Does not know: HTTP, where rules are kept, how anything is trained or published.
"""
