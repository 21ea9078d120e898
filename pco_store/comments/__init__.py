"""What Postgres says of our tables, views and columns: their comments, which any SQL tool shows.

Enter by `publishing.publish_comments`. `mirror` has the words for the mirror's tables, made from the catalogue;
`words.json` has those for the schema `sync` and for the views. Nothing here touches a row, or a table of anybody else.
"""
