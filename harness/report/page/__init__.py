"""`harness report`: stored runs as one HTML file that opens from disk, asks nobody for anything and says who won.

    stored runs -> leaderboard groups -> `PageData` (numbers) + texts -> one file

What needs no script (verdict, leaderboard, matrix) is HTML that Python writes; what is looked through (which problems,
what was answered) is data in the file, which the page's own script shows. docs/design/0012-report.md.
"""
